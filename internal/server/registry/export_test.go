package registry

// Limit is how many lines a client gets.
var Limit = limit
