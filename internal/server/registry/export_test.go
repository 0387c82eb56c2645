package registry

// Limit is how many lines a client gets.
var Limit = limit

// ParseRange reads the Content-Range of a part of an upload.
var ParseRange = parseRange
