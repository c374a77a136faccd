package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The files of a run, below its directory.
const (
	fileOrder    = "order.json"   // what the bed is to do
	fileBed      = "bed.json"     // what the bed saw
	fileHost     = "host.samples" // the machine's own clocks
	filePackets  = "packets"      // what the guests' daemons sent
	fileGo       = "go"           // appears when the programs are to start
	fileStop     = "stop"         // appears when they are to stop
	fileLock     = "lock"         // held while the run lasts
	fileDisk     = "disk"         // what guests of Debian boot; below a guest's directory what it has changed of that
	filePreload  = "preload.so"
	fileLab      = "lab"
	fileProgram  = "program"
	fileGuest    = "guest.json"   // below a guest's directory from here on: what the guest is to do
	fileReady    = "ready"        // appears when the guest is up
	fileExited   = "exited"       // appears when its program has ended by itself
	fileRecord   = "record.json"  // what the guest saw
	fileRing     = "ring"         // when its kernel read its clocksource
	fileSamples  = "samples"      // its clocks
	fileVitals   = "vitals"       // what its kernel says of its clock and of the daemon
	fileWalk     = "walk"         // how its oscillator strays
	fileConf     = "daemon.conf"  // the daemon's configuration
	fileDeed     = "deed"         // with a number from 1: what is to be done to it, in the order of the numbers
	fileErrand   = "errand"       // with a number from 1: a script that it is to run
	fileAnswer   = "answer"       // with the same number: what came of that
	fileLog      = "program.log"  // what its program printed
	fileConsole  = "console.log"  // what its kernel printed
	fileTimeline = "timeline.csv" // of --keep: true offsets of all guests at common instants
	fileResult   = "result.json"  // of --keep: the report
)

// samplePeriod is the time between two samples of a clock: short against the second in which a kernel changes
// its slew, long against the half millisecond that a sample costs a guest.
const samplePeriod = 200 * time.Millisecond

// Order is what the lab hands to the bed.
type Order struct {
	Plan Plan     `json:"plan"`
	UML  string   `json:"uml"`  // path of the kernel
	IP   string   `json:"ip"`   // path of iproute2's ip, which the guests see too
	Argv []string `json:"argv"` // program in the guests, empty for none
}

// GuestOrder is what a guest is to do.
type GuestOrder struct {
	Node    int    `json:"node"` // 1 …
	Work    string `json:"work"` // the run's directory
	Address string `json:"address"`
	// The machine's wall clock at one instant and how the counter runs: with them the guest sets its own clock
	// off by Offset. What it believes at boot is off by however long its first ticks took.
	Wall   Pair          `json:"wall"`
	Hz     float64       `json:"hz"`
	Offset time.Duration `json:"offset_ns"`
	IP     string        `json:"ip"`
	Argv   []string      `json:"argv"`
	Env    []string      `json:"env"`
	// Limit ends the guest by itself should the bed be gone without a word.
	Limit time.Duration `json:"limit_ns"`
	// Faulty says that deeds may come, and so that the guest looks for them.
	Faulty bool `json:"faulty,omitempty"`
	// Debian says that the guest goes on as a Debian of its own.
	Debian bool `json:"debian,omitempty"`
	// Memory is what a daemon keeps over a restart: files and directories that a wipe removes.
	Memory []string `json:"memory,omitempty"`
}

// Start is the instant at which the programs were started, and the machine's own clocks just before it. What the sampler sees then is not
// enough: a machine that has just booted so many kernels may leave it without a sharp reading for a second.
type Start struct {
	TSC  int64 `json:"tsc"`
	Wall Pair  `json:"wall"`
	Raw  Pair  `json:"raw"`
}

// BedRecord is what the bed saw.
type BedRecord struct {
	Kernel      string        `json:"kernel"`          // version of the guests' kernel
	CPUs        int           `json:"cpus"`            // of the machine, as far as the lab may use them
	Skew        float64       `json:"tsc_skew_ns"`     // largest difference of the counter between two processors
	SkewBound   float64       `json:"tsc_bound_ns"`    // how well that is known
	Start       Start         `json:"start"`           // when the programs were started
	Boot        time.Duration `json:"boot_ns"`         // until the last guest was up
	Ran         time.Duration `json:"ran_ns"`          // from the start to the stop of the programs
	Sent        []uint64      `json:"sent_packets"`    // by each guest meanwhile
	Received    []uint64      `json:"recv_packets"`    // by each guest meanwhile
	Own         float64       `json:"own_load"`        // share of the processors that the bed took meanwhile
	Others      float64       `json:"others_load"`     // and everybody else
	CutShort    []int         `json:"cut,omitempty"`   // guests that had to be killed at the end
	Interrupted string        `json:"stop,omitempty"`  // why the run ended early
	Deeds       []Deed        `json:"deeds,omitempty"` // done by the bed itself
}

// GuestRecord is what a guest saw.
type GuestRecord struct {
	Early  bool   `json:"early"`            // the program ended before it was told to
	Exit   int    `json:"exit"`             // its exit code; signalled + n after signal n
	During *Timex `json:"timex_during"`     // just before the program was told to stop
	After  *Timex `json:"timex_after"`      // after it had ended
	Error  string `json:"error,omitempty"`  // what went wrong in the guest itself
	Killed bool   `json:"killed,omitempty"` // the program did not end when told to
	Down   bool   `json:"down,omitempty"`   // it was down at the end, as a fault had asked
	Deeds  []Deed `json:"deeds,omitempty"`  // what was done to the guest
}

const (
	signalled      = 128            // added to a signal's number where an exit code is wanted, as shells do
	exitTerminated = signalled + 15 // SIGTERM
)

// Timex is the kernel's clock discipline as adjtimex reports it.
type Timex struct {
	State    int     `json:"state"`
	Status   int64   `json:"status"`
	Offset   int64   `json:"offset_ns"`
	FreqPPM  float64 `json:"freq_ppm"`
	MaxError int64   `json:"maxerror_us"`
	EstError int64   `json:"esterror_us"`
	Constant int64   `json:"constant"`
	Tick     int64   `json:"tick_us"`
}

// The status bits of adjtimex that a time daemon uses, in the words of <linux/timex.h>.
var timexStatus = []struct {
	bit  int64
	name string
}{
	{0x0001, "PLL"}, {0x0008, "FLL"}, {0x0010, "INS"}, {0x0020, "DEL"}, {0x0040, "UNSYNC"},
	{0x0080, "FREQHOLD"}, {0x1000, "CLOCKERR"}, {0x2000, "NANO"}, {0x4000, "MODE"},
}

const (
	statusNano   = 0x2000 // STA_NANO: the offset is in nanoseconds
	statusUnsync = 0x0040 // STA_UNSYNC: the kernel calls its clock unsynchronised
)

// words are the names of the status bits.
func (t *Timex) words() string {
	text := ""
	for _, s := range timexStatus {
		if t.Status&s.bit == 0 {
			continue
		}
		if text != "" {
			text += "|"
		}
		text += s.name
	}
	if text == "" {
		return "0"
	}
	return text
}

// guestDir is the directory of guest node (1 …) in the run's directory.
func guestDir(work string, node int) string { return filepath.Join(work, fmt.Sprintf("g%d", node)) }

// writeJSON writes v to a new file.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// readJSON reads into v what writeJSON wrote.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// exists says that there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
