package daemon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path"
	"slices"
	"strings"
)

// process is a running program, as far as its system tells.
type process struct {
	pid     int
	command string   // the kernel's name for it: on Linux its first 15 bytes
	program string   // base name of its executable, "" = not readable
	args    []string // its command line, "" = not readable
	unit    string   // of systemd, "" = none
	able    bool     // it has the right to set the clock
}

// timekeeper is a program that sets clocks.
type timekeeper struct {
	name   string
	steers func(args []string) bool // whether a command line (without the program) means the system's clock; nil = always
}

// timekeepers are the daemons that are looked for. Programs that set a clock once and end, such as ntpdate, are not.
var timekeepers = []timekeeper{
	{name: "chronyd", steers: func(args []string) bool { return !hasFlag(args, "xQp", "fFlLPtu") }},
	{name: "ntpd"}, // the reference, NTPsec, OpenNTPD and busybox
	{name: "systemd-timesyncd"},
	{name: "ptp4l", steers: steersPTP},
	{name: "phc2sys", steers: steersPHC},
}

// commandLength is how many bytes of a name Linux keeps (TASK_COMM_LEN less the zero).
const commandLength = 15

// is says whether a process runs this program: under its own name or, for one that changed it, by its executable.
func (k timekeeper) is(p process) bool {
	if p.program == k.name {
		return true
	}
	if len(k.name) > commandLength { // a cut name may be another program's
		return p.command == k.name[:commandLength] && len(p.args) > 0 && path.Base(p.args[0]) == k.name
	}
	return p.command == k.name
}

// rivalsAmong are the processes that set this host's clock.
func rivalsAmong(all []process) (rivals []rival) {
	for _, p := range all {
		for _, k := range timekeepers {
			if !p.able || !k.is(p) || k.steers != nil && len(p.args) > 0 && !k.steers(p.args[1:]) {
				continue
			}
			rivals = append(rivals, rivalOfUnit(k.name, p.pid, p.unit))
			break
		}
	}
	return rivals
}

// rivalOfUnit is a rival that a unit of systemd has started; "" = none.
func rivalOfUnit(name string, pid int, unit string) rival {
	remedy := "end it and whatever starts it"
	if unit != "" {
		remedy = "run `systemctl disable --now " + strings.TrimSuffix(unit, ".service") + "`"
	}
	return rival{name: name, pid: pid, unit: unit, remedy: remedy}
}

// hasFlag says whether a command line as of getopt(3) holds one of these one-letter flags. valued are the letters that take a
// value, in the same word or the next.
func hasFlag(args []string, flags, valued string) bool {
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' || args[i] == "--" || strings.HasPrefix(args[i], "--") {
			continue
		}
		for j := 1; j < len(args[i]); j++ {
			if strings.IndexByte(flags, args[i][j]) >= 0 {
				return true
			}
			if strings.IndexByte(valued, args[i][j]) >= 0 {
				if j == len(args[i])-1 {
					i++ // its value is the next word
				}
				break
			}
		}
	}
	return false
}

// valueOf is what a command line gives to a one-letter flag: "-c eth0" or "-ceth0". ok is false where it stands nowhere.
func valueOf(args []string, flag string) (value string, ok bool) {
	for i, a := range args {
		switch {
		case a == flag && i+1 < len(args):
			return args[i+1], true
		case strings.HasPrefix(a, flag) && len(a) > len(flag):
			return a[len(flag):], true
		}
	}
	return "", false
}

// steersPTP: ptp4l sets the system's clock where it stamps in software, which its configuration file may say as well; with
// free_running it sets none.
func steersPTP(args []string) bool {
	at := slices.Index(args, "--free_running")
	return !slices.Contains(args, "--free_running=1") && (at < 0 || at+1 >= len(args) || args[at+1] != "1")
}

// steersPHC: phc2sys sets CLOCK_REALTIME unless told another clock (-c), and in automatic mode (-a) only with -r.
func steersPHC(args []string) bool {
	if clock, ok := valueOf(args, "-c"); ok {
		return clock == "CLOCK_REALTIME"
	}
	const valued = "EPISFRNOLMiunzltscdf" // of linuxptp 4
	return !hasFlag(args, "a", valued) || hasFlag(args, "r", valued)
}

// rivalsByName finds daemons in a list of processes of which no more than the names are known: on a BSD. macOS' own is timed.
func rivalsByName(all []process) (rivals []rival) {
	remedies := map[string]string{
		"timed":    "run `systemsetup -setusingnetworktime off`",
		"chronyd":  "run `service chronyd stop` and set chronyd_enable=NO, or the like of its package",
		"ntpd":     "run `service ntpd stop` and set ntpd_enable=NO",
		"openntpd": "run `service openntpd stop` and set openntpd_enable=NO",
		"ptpd":     "end it and whatever starts it",
	}
	for _, p := range all {
		if remedy, found := remedies[p.command]; found {
			rivals = append(rivals, rival{name: p.command, pid: p.pid, remedy: remedy})
		}
	}
	return rivals
}

// FreeBSD tells of processes in records of struct kinfo_proc, which begins with its own size and layout. This is the one of 64-bit
// machines, unchanged since FreeBSD 5.
const (
	kinfoSize    = 1088
	kinfoLayout  = 0
	kinfoPID     = 72
	kinfoCommand = 447
	kinfoName    = 20 // bytes of a name, with the zero that ends it
)

// errKinfo says that a list of processes is not the one known.
var errKinfo = errors.New("this kernel lists its processes in another form than FreeBSD's on 64-bit machines")

// processesOfKinfo reads FreeBSD's list.
func processesOfKinfo(list []byte) (all []process, err error) {
	for ; len(list) > 0; list = list[kinfoSize:] {
		if len(list) < kinfoSize || binary.NativeEndian.Uint32(list) != kinfoSize || binary.NativeEndian.Uint32(list[4:]) != kinfoLayout {
			return nil, errKinfo
		}
		name := list[kinfoCommand : kinfoCommand+kinfoName]
		end := bytes.IndexByte(name, 0)
		if end < 0 {
			return nil, errKinfo
		}
		all = append(all, process{pid: int(int32(binary.NativeEndian.Uint32(list[kinfoPID:]))), command: string(name[:end])})
	}
	return all, nil
}

// rivalsByService finds daemons among Windows' services. One that cannot be asked for is told of, the others count.
func rivalsByService(services []string, running func(string) (bool, error)) (rivals []rival, err error) {
	for _, name := range services {
		runs, failed := running(name)
		if err = errors.Join(err, failed); runs {
			rivals = append(rivals, rival{name: name, remedy: "run `sc stop " + name + "` and `sc config " + name + " start= disabled`"})
		}
	}
	return rivals, err
}
