// Package configs is the only place that knows YAML: what may be written in the configuration file, what each key
// defaults to, and how a file that says something impossible is refused.
//
// Every problem of a file is reported at once (Problems), each with its line, what is wrong and what to write
// instead. Values carry their units: "1s", "500ppm". The reference for users is meantime.yaml in this folder.
package configs

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Role says what this node is in its LAN.
type Role string

// The roles.
const (
	RoleAuto   Role = "auto"   // master or slave, by election
	RoleSlave  Role = "slave"  // answers polls and follows, never master
	RoleMaster Role = "master" // stands for master as soon as it starts
)

// StepPolicy says when the clock may be stepped instead of slewed.
type StepPolicy string

// The step policies.
const (
	StepBoot   StepPolicy = "boot"   // only at the first synchronisation since the operating system booted
	StepNever  StepPolicy = "never"  // not even then
	StepAlways StepPolicy = "always" // whenever the clock is off by more than Config.StepThreshold
)

// Servo says how LAN time is followed.
type Servo string

// The servos.
const (
	ServoFit       Servo = "fit"        // a line through many rounds gives frequency and phase
	ServoPhaseOnly Servo = "phase-only" // each round's delta is slewed off and forgotten: the textbook's way, for comparison
)

// LogFormat is the form of a log line.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Config is everything an operator may decide. Load, Parse and Default return it complete and valid.
type Config struct {
	Role         Role           // RoleAuto, RoleSlave or RoleMaster
	Group        string         // name of the LAN, 1 to 64 characters; only members of one group hear each other
	Address      netip.AddrPort // where polls go: an IPv4 or link-local IPv6 multicast or an IPv4 broadcast address
	UnicastPort  uint16         // UDP port of this node's own socket; 0 = any free one; never Address's port
	Interfaces   []string       // names of network interfaces; nil = every suitable one
	KernelStamps bool           // take packet timestamps from the kernel where it offers them

	Poll      time.Duration // between two polls: 250 ms to 64 s
	PollMax   time.Duration // between two polls while LAN time is calm: Poll to 64 s; 0 = always Poll
	FoundWait time.Duration // longest gathering before a founding: 1 s to 5 min
	MaxSkew   time.Duration // widest group of clocks averaged at a founding: 1 s to 240 h

	FullRoundsTo uint16 // members up to which each has all its exchanges in every round, as a master: 1 to 65,534
	MaxMembers   uint16 // members that a master takes, itself included: 2 to 65,534

	Step          StepPolicy    // StepBoot, StepNever or StepAlways
	StepThreshold time.Duration // for StepAlways: a smaller error is slewed; 1 ms to 240 h
	MaxSlew       Rate          // largest extra rate while slewing: 1 ppm to 100,000 ppm
	PanicForward  time.Duration // a correction forward by more is left to an operator: 0 to 240 h; 0 = none is
	PanicBackward time.Duration // the same backward
	Servo         Servo         // ServoFit or ServoPhaseOnly
	Beside        bool          // whether a real clock is steered although another time daemon runs on the host

	Priority     uint8    // rank in elections, the higher the sooner master; 0 = never master
	Trusted      []string // ids of the only nodes that may be master, 16 hex digits each; nil = any
	Excluded     []string // ids of nodes whose packets are dropped, 16 hex digits each
	KeyFile      string   // absolute path of the file with the LAN's keys
	Insecure     bool     // whether packets are neither authenticated nor expected to be, even with a real clock
	StateDir     string   // absolute path of the folder that keeps id, term and drift over restarts
	Control      string   // absolute path of the socket that `meantime status` and its like ask; "" = none
	ControlGroup string   // not on Windows: the group whose members may ask there; "" = the service's own

	Metrics netip.AddrPort // where metrics are served over TCP; the zero value = nowhere
	Page    netip.AddrPort // where the page is, a loopback address; the zero value = nowhere

	User    string // Linux: the account that root goes on as; "" = root stays root
	Confine bool   // whether the process gives up, once it has started, what it does not need

	Log Log

	DryRun  bool    // steer a virtual clock instead of the operating system's
	Virtual Virtual // of a dry run only; the zero value is a perfect clock
	Trace   string  // of a dry run only: file for pairs of host clock and virtual clock; "" = none
}

// Log says what is written to standard error.
type Log struct {
	Level  slog.Level // the least severe level written: debug, info, warn or error
	Format LogFormat  // LogText or LogJSON
}

// Virtual describes the clock of a dry run against the host's.
type Virtual struct {
	Offset    time.Duration // virtual minus host at the start: -240 h to 240 h
	Frequency Rate          // rate error of its oscillator: -1,000 ppm to 1,000 ppm
	Wander    Rate          // random walk of that rate per square root of a second: 0 to 100 ppm
	Seed      uint64        // of the wander; 0 = a new one at each start
}

// Default returns the configuration of a node whose file is empty.
func Default() Config {
	return Config{
		Role:          RoleAuto,
		Group:         "meantime",
		Address:       netip.MustParseAddrPort("239.255.52.5:10525"),
		UnicastPort:   10526,
		KernelStamps:  true,
		Poll:          time.Second,
		FoundWait:     10 * time.Second,
		MaxSkew:       time.Hour,
		FullRoundsTo:  1000,
		MaxMembers:    16384,
		Step:          StepBoot,
		StepThreshold: 128 * time.Millisecond,
		MaxSlew:       500 * PPM,
		PanicForward:  1000 * time.Second,
		PanicBackward: 1000 * time.Second,
		Servo:         ServoFit,
		Priority:      100,
		KeyFile:       defaultKeyFile(runtime.GOOS),
		StateDir:      defaultStateDir(runtime.GOOS),
		Control:       defaultControl(runtime.GOOS),
		ControlGroup:  "meantime-view",
		User:          "meantime",
		Confine:       true,
		Log:           Log{Level: slog.LevelInfo, Format: LogText},
	}
}

// DefaultPath returns where this operating system keeps the configuration file.
func DefaultPath() string { return inConfigDir(runtime.GOOS, "meantime.yaml") }

// defaultKeyFile returns where an operating system keeps the LAN's keys: beside the configuration file.
func defaultKeyFile(goos string) string { return inConfigDir(goos, "key") }

// inConfigDir is the path of a file in the folder where an operating system keeps the configuration of its daemons.
func inConfigDir(goos, name string) string {
	switch goos {
	case "windows":
		return programData() + `\meantime\` + name
	case "freebsd":
		return "/usr/local/etc/meantime/" + name
	default:
		return "/etc/meantime/" + name
	}
}

// defaultStateDir returns where an operating system keeps the state of its daemons.
func defaultStateDir(goos string) string {
	switch goos {
	case "windows":
		return programData() + `\meantime\state` // beside it is the key, which the service may only read
	case "darwin":
		return "/Library/Application Support/meantime"
	case "freebsd":
		return "/var/db/meantime"
	default:
		return "/var/lib/meantime"
	}
}

// SocketName is the file name of the control socket, unless configured otherwise.
const SocketName = "socket"

// defaultControl returns where an operating system keeps the sockets of its daemons: beside the lock on the clock.
func defaultControl(goos string) string {
	switch goos {
	case "windows":
		return defaultStateDir(goos) + `\` + SocketName // the service may write nowhere else
	case "linux":
		return "/run/meantime/" + SocketName
	default:
		return "/var/run/meantime/" + SocketName
	}
}

// programData returns Windows' folder for the data of all users.
func programData() string {
	if dir := os.Getenv("ProgramData"); filepath.IsAbs(dir) {
		return dir
	}
	return `C:\ProgramData`
}
