package main

// haveTSC says that this build can read the time stamp counter.
const haveTSC = true

// rdtsc reads the processor's time stamp counter, which guests and host share.
func rdtsc() int64
