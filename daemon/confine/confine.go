// Package confine takes from this process, for good, what a time daemon never needs: rights, system calls, files. It knows nothing of
// time. Nothing here can be taken back, so it is for a program's own process, never for a test's.
//
// All of it is Linux'. Elsewhere a process gives up its core dumps (not on Windows, which makes none unasked), and the rest stays as
// the service manager has it.
package confine

// Plan says what is needed after the start.
type Plan struct {
	Clock bool     // the right to set the clock
	Read  []string // files and folders that are read
	Write []string // folders in which files are made, read, replaced and removed
}

// Report is what is in force, as the kernel tells it.
type Report struct {
	Capabilities string   // held, as capabilities(7) names them; "" = none
	NoNewPrivs   bool     // no program that is started could have more rights
	CoreDumps    bool     // a crash may leave the memory in a file, and others of the same user may look into it
	Landlock     int      // version of the kernel's file rules in force; 0 = none
	DeniedCalls  int      // system calls that are refused; 0 = there is no filter
	Lacks        []string // what this system does not have, each with the reason
}
