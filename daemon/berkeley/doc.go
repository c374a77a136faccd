// Package berkeley turns time stamps into one correction: the arithmetic of the Berkeley algorithm.
//
// Gusella and Zatti ("The Accuracy of the Clock Synchronization Achieved by TEMPO in Berkeley UNIX 4.3BSD", IEEE
// Transactions on Software Engineering 15(7), 1989) let a master ask every clock for its time, average the clocks that
// agree and send each its difference from that average. This package holds the parts of it that are arithmetic:
//
//   - Measure: four stamps of an exchange become offset, delay and a bound on the error;
//   - Filter: of several exchanges the one with the smallest bound is believed;
//   - Found: the mean over the largest group of clocks that agree, taken once, when a LAN gets its time;
//   - Keep: the fault-tolerant mean over the voters of a round, taken ever after.
//
// All quantities are plain int64 nanoseconds. Offsets are other clock minus own clock. The package is pure: it reads no
// clock, keeps no state outside its values and imports nothing but the standard library's arithmetic.
package berkeley
