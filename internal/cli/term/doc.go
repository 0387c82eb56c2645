// Package term is where a verb meets the person or script that ran it: the streams, the flags that
// every verb has, and the ways to print a result, a note, a table or JSON, and to ask a question.
//
// Everything that is printed passes package printer; Stdout and Stderr themselves are for a command that
// a person runs, and for what draws. stdout is the result and nothing else; everything for the eye goes to stderr. Failure guarded: a
// verb that prompts where nobody can answer.
package term
