// Package servo keeps a node's timescale: LAN time as a line over the node's raw oscillator.
//
// Nothing steers the raw oscillator, so a line through (raw oscillator, LAN time) points averages the noise of many rounds
// without the clock's own corrections getting into it. Each round brings one point: where the line stood plus the delta
// that the master measured. The line's slope is the frequency correction, its height the time; the operating system's
// clock is steered towards it, but no measurement ever depends on how far that has come.
//
// A common rotation (see netproto.Rotation) turns line and points together about a common instant, so that all nodes'
// rates move and their disagreement does not.
//
// The package is pure: it reads no clock, and plain int64 nanoseconds go in and out.
package servo
