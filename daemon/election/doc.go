// Package election orders the nodes that may hold the master's office.
//
// This version knows the order of succession, which every Adjust publishes. Standing for office, terms that rise and the
// yielding of a second master are to come; the node names RoleAuto for them already.
//
// The package is pure: no clock, no socket, no randomness; the standard library only.
package election
