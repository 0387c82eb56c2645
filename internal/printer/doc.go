// Package printer is the one way in which somebody else's words reach a person's terminal: what a
// service, a file name, a commit message, a repository, a server or a foreign program says.
//
// What a terminal or an eye would take for something else is shown as an escape, \u001b, in the form
// that JSON has for it: control characters, carriage returns, overrides of the writing direction,
// invisible characters, bytes that are not UTF-8. Colours are dropped. Letters, marks, symbols and
// spaces of every language stay.
//
//   - Fprintf is fmt.Fprintf whose arguments cannot begin a line of their own: what stands in one line
//     of the format is one line of output.
//   - Text, Block and Line clean a string: Block indents what follows the first line, Line leaves no line end and no tab.
//   - To is a stream: the lines of a log.
//   - Result is standard output, which remembers that it could not be written.
//
// The agent links this room, so it holds nothing but the standard library. Failure guarded: a file
// name that clears the screen and writes "verified" on it; and exit code 0 for a result that a full
// disk did not take.
package printer
