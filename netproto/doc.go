// Package netproto turns the daemon's packets into values and back, and checks who sealed them. PROTOCOL.md holds
// the same layout byte by byte, with the rules of the round and of the election.
//
// It is pure: no socket, no clock, no goroutine, no randomness. Whatever arrives from a network goes through Open and
// then through one Parse function; neither allocates, so that a flood of hostile packets costs no memory.
//
// A packet is header, body and tag. All numbers are big-endian; a dot stands for a byte that is zero.
//
//	        0       1       2       3       4       5       6       7
//	    +-------+-------+-------+-------+-------+-------+-------+-------+
//	  0 | magic "MT"    |version| kind  | body length   | flags         |  header
//	  8 | group                         | key id                        |  48 bytes
//	 16 | sender                                                        |
//	 24 | start                         | seq                           |
//	 32 | lineage                                                       |
//	 40 | term                                                          |
//	    +---------------------------------------------------------------+
//	 48 | body: of the kind's length, or longer (the tail is ignored)   |
//	    +---------------------------------------------------------------+
//	end | tag: 16 bytes, all zero under the null key                    |
//	    +---------------------------------------------------------------+
//
// Poll, 24 bytes:
//
//	 0 | nonce                                                         |
//	 8 | interval                      | window                        |
//	16 | slots         | members       |priorit| phase | turns         |
//
// Reply, 112 bytes:
//
//	 0 | echo                                                          |
//	 8 | nonce                                                         |
//	16 | t2                                                            |
//	24 | t3                                                            |
//	32 | residual                                                      |
//	40 | rate                                                          |
//	48 | bound                                                         |
//	56 | master                                                        |
//	64 | earlier: seq                  |earlrep|repeat |priorit|   .   |
//	72 | earlier: t3                                                   |
//	80 | earlier: t6                                                   |
//	88 | held 0                        | held 1                        |
//	96 | held 2                        | held 3                        |
//	104| pace                          |   .       .       .       .   |
//
// Ack, 16 bytes:
//
//	0 | echo                                                          |
//	8 |repeat |   .       .       .       .       .       .       .   |
//
// Adjust, 64 bytes and then count entries:
//
//	 0 | rotation: rate                                                |
//	 8 | rotation: phase                                               |
//	16 | rotation: epoch                                               |
//	24 | pace                          | spread                        |
//	32 | voters        | members       | part  | parts | phase | count |
//	40 | successor 0                                                   |
//	48 | successor 1                                                   |
//	56 | successor 2                                                   |
//
// Entry of an Adjust, 32 bytes:
//
//	 0 | id                                                            |
//	 8 | nonce                                                         |
//	16 | delta                                                         |
//	24 | bound                         | slot          |standng|   .   |
//
// Candidate, 24 bytes:
//
//	 0 | nonce                                                         |
//	 8 | master                                                        |
//	16 | rounds                        |priorit|   .       .       .   |
//
// Claim, 24 bytes:
//
//	 0 | echo                                                          |
//	 8 | master                                                        |
//	16 | rounds                        | voters        |priorit|   .   |
//
// Resign, 8 bytes:
//
//	0 | successor                                                     |
package netproto
