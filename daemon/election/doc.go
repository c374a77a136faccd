// Package election orders the nodes that may hold the master's office.
//
// Rank is the total order of candidates, Claim what two masters hold against each other, and Watch the timer of a node without
// office: when it stands, when it holds back, when it takes over.
//
// The package is pure: no clock, no socket, no randomness; the standard library only.
package election
