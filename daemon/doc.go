// Package daemon runs a node for real: it owns the goroutines, the sockets' readers, the clock being kept, the files in the
// state directory and the log. It decides nothing about time; it carries inputs to the node and the node's wishes out.
package daemon
