// Package model checks what the protocol promises against an attacker who records, withholds, reorders and replays: on the real node, of
// which it explores all that three can come to within bounds (explore_test.go), and on a small model of the handshake and the election in
// Promela, whose every state is visited (handshake.pml). Attackers cannot forge here: packets are sealed, and the key is not theirs.
//
// It holds tests only. They copy nodes and name their states by reflection, so this is the one room beside sysclock and the sockets that may
// use unsafe.
package model
