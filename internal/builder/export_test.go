package builder

// FirstMember is what looks for the first file that differs.
var FirstMember = firstMember
