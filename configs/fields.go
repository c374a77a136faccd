package configs

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is what YAML must have written for a value: the short tag it resolves to.
type kind string

const (
	text    kind = "!!str"
	number  kind = "!!int"
	boolean kind = "!!bool"
)

// field is one key: how its value is read and written. The table of them is all that file, flags, YAML and JSON
// output know about keys.
type field struct {
	key   string // dotted
	kind  kind   // of the value, or of each element of a list
	list  bool   // a sequence; set gets all elements, otherwise exactly one
	set   func(*Config, []string) *fault
	get   func(*Config) []string
	quote bool // the value is free text, so that a number in quotes may be meant
}

// mostMembers is what the protocol can count: a Poll tells in 16 bits how many slots there are, and a slot more is none.
const mostMembers = math.MaxUint16 - 1

// fields lists every key in the order of the reference file.
var fields = []field{
	choice("role", func(c *Config) *Role { return &c.Role }, RoleAuto, RoleSlave, RoleMaster),
	words("group", func(c *Config) *string { return &c.Group }, checkGroup),
	address("address", func(c *Config) *netip.AddrPort { return &c.Address }),
	integer("unicast_port", func(c *Config) *uint16 { return &c.UnicastPort }, 0, math.MaxUint16),
	names("interfaces", func(c *Config) *[]string { return &c.Interfaces }, checkInterface),
	toggle("kernel_stamps", func(c *Config) *bool { return &c.KernelStamps }),

	duration("poll", func(c *Config) *time.Duration { return &c.Poll }, 250*time.Millisecond, 64*time.Second),
	duration("poll_max", func(c *Config) *time.Duration { return &c.PollMax }, 0, 64*time.Second),
	duration("found_wait", func(c *Config) *time.Duration { return &c.FoundWait }, time.Second, 5*time.Minute),
	duration("max_skew", func(c *Config) *time.Duration { return &c.MaxSkew }, time.Second, 240*time.Hour),
	integer("full_rounds_to", func(c *Config) *uint16 { return &c.FullRoundsTo }, 1, mostMembers),
	integer("max_members", func(c *Config) *uint16 { return &c.MaxMembers }, 2, mostMembers),

	choice("step", func(c *Config) *StepPolicy { return &c.Step }, StepBoot, StepNever, StepAlways),
	duration("step_threshold", func(c *Config) *time.Duration { return &c.StepThreshold },
		time.Millisecond, 240*time.Hour),
	rate("max_slew", func(c *Config) *Rate { return &c.MaxSlew }, 1*PPM, 100_000*PPM),
	duration("panic_forward", func(c *Config) *time.Duration { return &c.PanicForward }, 0, 240*time.Hour),
	duration("panic_backward", func(c *Config) *time.Duration { return &c.PanicBackward }, 0, 240*time.Hour),
	choice("servo", func(c *Config) *Servo { return &c.Servo }, ServoFit, ServoPhaseOnly),
	toggle("beside", func(c *Config) *bool { return &c.Beside }),

	integer("priority", func(c *Config) *uint8 { return &c.Priority }, 0, math.MaxUint8),
	names("trusted", func(c *Config) *[]string { return &c.Trusted }, checkID),
	names("excluded", func(c *Config) *[]string { return &c.Excluded }, checkID),
	words("key_file", func(c *Config) *string { return &c.KeyFile }, checkPath(defaultKeyFile(runtime.GOOS), "file")),
	toggle("insecure", func(c *Config) *bool { return &c.Insecure }),
	words("state_dir", func(c *Config) *string { return &c.StateDir }, checkPath(defaultStateDir(runtime.GOOS), "folder")),
	words("control", func(c *Config) *string { return &c.Control }, checkControl),
	words("control_group", func(c *Config) *string { return &c.ControlGroup }, checkAccount("group")),
	listener("metrics", func(c *Config) *netip.AddrPort { return &c.Metrics }, false),
	listener("page", func(c *Config) *netip.AddrPort { return &c.Page }, true),
	words("user", func(c *Config) *string { return &c.User }, checkAccount("user")),
	toggle("confine", func(c *Config) *bool { return &c.Confine }),

	level("log.level", func(c *Config) *slog.Level { return &c.Log.Level }),
	choice("log.format", func(c *Config) *LogFormat { return &c.Log.Format }, LogText, LogJSON),

	toggle("dry_run", func(c *Config) *bool { return &c.DryRun }),
	duration("virtual.offset", func(c *Config) *time.Duration { return &c.Virtual.Offset },
		-240*time.Hour, 240*time.Hour),
	rate("virtual.frequency", func(c *Config) *Rate { return &c.Virtual.Frequency }, -1000*PPM, 1000*PPM),
	rate("virtual.wander", func(c *Config) *Rate { return &c.Virtual.Wander }, 0, 100*PPM),
	integer("virtual.seed", func(c *Config) *uint64 { return &c.Virtual.Seed }, 0, math.MaxUint64),
	words("trace", func(c *Config) *string { return &c.Trace }, checkTrace),
}

// find returns the field of a dotted key, or nil.
func find(key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}

// scalar builds a field whose value is one word of the given kind.
func scalar(key string, k kind, set func(*Config, string) *fault, get func(*Config) string) field {
	return field{
		key: key, kind: k,
		set: func(c *Config, values []string) *fault { return set(c, values[0]) },
		get: func(c *Config) []string { return []string{get(c)} },
	}
}

func choice[T ~string](key string, at func(*Config) *T, allowed ...T) field {
	return scalar(key, text, func(c *Config, value string) *fault {
		if !slices.Contains(allowed, T(value)) {
			return wrongChoice(value, allowed)
		}
		*at(c) = T(value)
		return nil
	}, func(c *Config) string { return string(*at(c)) })
}

// wrongChoice explains a word that is none of those allowed.
func wrongChoice[T ~string](value string, allowed []T) *fault {
	return &fault{quote(value) + " is not known", either(allowed)}
}

// either lists alternatives: "a, b or c".
func either[T ~string](words []T) string {
	var list strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			list.WriteString(" or ")
		default:
			list.WriteString(", ")
		}
		list.WriteString(string(word))
	}
	return list.String()
}

func level(key string, at func(*Config) *slog.Level) field {
	levels := []string{"debug", "info", "warn", "error"}
	return scalar(key, text, func(c *Config, value string) *fault {
		if !slices.Contains(levels, value) {
			return wrongChoice(value, levels)
		}
		if err := at(c).UnmarshalText([]byte(value)); err != nil {
			return &fault{err.Error(), either(levels)}
		}
		return nil
	}, func(c *Config) string { return strings.ToLower(at(c).String()) })
}

func toggle(key string, at func(*Config) *bool) field {
	return scalar(key, boolean, func(c *Config, value string) *fault {
		switch strings.ToLower(value) {
		case "true":
			*at(c) = true
		case "false":
			*at(c) = false
		default:
			return &fault{quote(value) + " is neither true nor false", "true or false"}
		}
		return nil
	}, func(c *Config) string { return strconv.FormatBool(*at(c)) })
}

func duration(key string, at func(*Config) *time.Duration, lowest, highest time.Duration) field {
	return scalar(key, text, func(c *Config, value string) *fault {
		parsed, wrong := parseDuration(value)
		if wrong != nil {
			return wrong
		}
		if parsed < lowest || parsed > highest {
			return outOfRange(value, parsed < lowest, formatDuration(lowest), formatDuration(highest))
		}
		*at(c) = parsed
		return nil
	}, func(c *Config) string { return formatDuration(*at(c)) })
}

func rate(key string, at func(*Config) *Rate, lowest, highest Rate) field {
	return scalar(key, text, func(c *Config, value string) *fault {
		parsed, wrong := parseRate(value)
		if wrong != nil {
			return wrong
		}
		if parsed < lowest || parsed > highest {
			return outOfRange(value, parsed < lowest, lowest.String(), highest.String())
		}
		*at(c) = parsed
		return nil
	}, func(c *Config) string { return at(c).String() })
}

func integer[T ~uint8 | ~uint16 | ~uint64](key string, at func(*Config) *T, lowest, highest uint64) field {
	return scalar(key, number, func(c *Config, value string) *fault {
		whole := strings.TrimLeft(value, "-0123456789") == "" && value != "-" && value != ""
		if !whole || len(value) > 1 && value[0] == '0' {
			return &fault{quote(value) + " is not a whole decimal number", fmt.Sprintf("a number from %d to %d", lowest, highest)}
		}
		parsed, err := strconv.ParseUint(value, 10, 64)
		if err != nil || parsed < lowest || parsed > highest {
			below := value[0] == '-' || err == nil && parsed < lowest
			return outOfRange(value, below, strconv.FormatUint(lowest, 10), strconv.FormatUint(highest, 10))
		}
		*at(c) = T(parsed)
		return nil
	}, func(c *Config) string { return strconv.FormatUint(uint64(*at(c)), 10) })
}

func outOfRange(value string, below bool, lowest, highest string) *fault {
	what := " is too large"
	if below {
		what = " is too small"
	}
	return &fault{quoteless(value) + what, "a value from " + lowest + " to " + highest}
}

// words is free text, checked by its own rule.
func words(key string, at func(*Config) *string, check func(string) *fault) field {
	f := scalar(key, text, func(c *Config, value string) *fault {
		if wrong := check(value); wrong != nil {
			return wrong
		}
		*at(c) = value
		return nil
	}, func(c *Config) string { return *at(c) })
	f.quote = true
	return f
}

func checkGroup(name string) *fault {
	if n := utf8.RuneCountInString(name); n < 1 || n > 64 {
		return &fault{fmt.Sprintf("the name has %d characters", n), "a name of 1 to 64 characters"}
	}
	if strings.TrimSpace(name) != name {
		return &fault{quote(name) + " begins or ends with a space", quote(strings.TrimSpace(name))}
	}
	if unprintable(name) {
		return &fault{quote(name) + " holds characters that cannot be printed", "letters, digits and dashes"}
	}
	return nil
}

// checkPath takes an absolute path of what: a file or a folder.
func checkPath(example, what string) func(string) *fault {
	return func(path string) *fault {
		if unprintable(path) {
			return &fault{quote(path) + " holds characters that cannot be printed", "the path of a " + what}
		}
		if !filepath.IsAbs(path) {
			return &fault{quote(path) + " is not an absolute path", "the whole path, such as " + example}
		}
		return nil
	}
}

// longestSocket (bytes) is what the name of a Unix socket may have: sun_path in sys/un.h, the shortest of all systems', and its final 0.
const longestSocket = 103

// checkControl takes the path of a socket, or none.
func checkControl(path string) *fault {
	if path == "" {
		return nil
	}
	if len(path) > longestSocket {
		return &fault{fmt.Sprintf("%s has %d characters", quote(path), len(path)), fmt.Sprintf("a path of %d at most", longestSocket)}
	}
	return checkPath(defaultControl(runtime.GOOS), "socket")(path)
}

// checkAccount returns a check of the name of a user or group, or none.
func checkAccount(of string) func(string) *fault {
	return func(name string) *fault {
		if unprintable(name) || strings.ContainsAny(name, " :/") {
			return &fault{quote(name) + " is not the name of a " + of, "the name of a " + of + ", or \"\" for none"}
		}
		return nil
	}
}

func checkTrace(path string) *fault {
	if unprintable(path) {
		return &fault{quote(path) + " holds characters that cannot be printed", "the path of a file"}
	}
	return nil
}

func unprintable(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// names is a list of words, each checked by the same rule.
func names(key string, at func(*Config) *[]string, check func(string) *fault) field {
	return field{
		key: key, kind: text, list: true, quote: true,
		set: func(c *Config, values []string) *fault {
			for i, name := range values {
				if wrong := check(name); wrong != nil {
					return wrong
				}
				if slices.Contains(values[:i], name) {
					return &fault{quote(name) + " is named twice", "it once"}
				}
			}
			*at(c) = nil
			if len(values) > 0 {
				*at(c) = slices.Clone(values)
			}
			return nil
		},
		get: func(c *Config) []string { return *at(c) },
	}
}

func checkInterface(name string) *fault {
	if name == "" || unprintable(name) || strings.TrimSpace(name) != name || len(name) > 255 {
		return &fault{quote(name) + " is not the name of an interface", "names such as eth0, or [] for all"}
	}
	return nil
}

// checkID takes a node's id as its log shows it.
func checkID(id string) *fault {
	value, err := strconv.ParseUint(id, 16, 64)
	if err != nil || value == 0 || len(id) != 16 || strings.ToLower(id) != id {
		return &fault{quote(id) + " is not the id of a node", "16 hex digits in quotes, as the log of that node shows its id"}
	}
	return nil
}

func address(key string, at func(*Config) *netip.AddrPort) field {
	return scalar(key, text, func(c *Config, value string) *fault {
		parsed, wrong := parseAddress(value)
		if wrong != nil {
			return wrong
		}
		*at(c) = parsed
		return nil
	}, func(c *Config) string { return at(c).String() })
}

// listener is where something is served over TCP: an address and a port, or "" for nowhere.
func listener(key string, at func(*Config) *netip.AddrPort, private bool) field {
	return scalar(key, text, func(c *Config, value string) *fault {
		parsed, wrong := parseListener(value, private)
		if wrong != nil {
			return wrong
		}
		*at(c) = parsed
		return nil
	}, func(c *Config) string {
		if !at(c).IsValid() {
			return ""
		}
		return at(c).String()
	})
}

// parseListener takes an address of this host, literally or as localhost, and a port. Names are left alone: what one means may change.
// Where private is set, nobody on another host may get there.
func parseListener(value string, private bool) (netip.AddrPort, *fault) {
	const example = "127.0.0.1:10527"
	if value == "" {
		return netip.AddrPort{}, nil
	}
	literal := value
	if port, ok := strings.CutPrefix(value, "localhost:"); ok {
		literal = "127.0.0.1:" + port
	}
	parsed, err := netip.ParseAddrPort(literal)
	port, notPort := strconv.ParseUint(value, 10, 16)
	switch {
	case notPort == nil && port > 0:
		return netip.AddrPort{}, &fault{value + " is a port without an address", "127.0.0.1:" + value + ", for this host alone"}
	case err != nil:
		return netip.AddrPort{}, &fault{quote(value) + " is not an address and a port", example + ", localhost:10527 or [::1]:10527"}
	case parsed.Port() == 0:
		return netip.AddrPort{}, &fault{value + " has port 0", netip.AddrPortFrom(parsed.Addr(), 10527).String()}
	case private && !parsed.Addr().IsLoopback():
		return netip.AddrPort{}, &fault{value + " can be reached from other hosts, which nothing here would ask for a password", fmt.Sprintf(
			"127.0.0.1:%d; from elsewhere, `ssh -L %[1]d:127.0.0.1:%[1]d HOST` or a reverse proxy with a password leads there", parsed.Port())}
	}
	return netip.AddrPortFrom(parsed.Addr().Unmap(), parsed.Port()), nil
}

// parseAddress takes where polls may go: IPv4 multicast, link-local IPv6 multicast or IPv4 broadcast, and a port.
func parseAddress(value string) (netip.AddrPort, *fault) {
	const example = "239.255.52.5:10525, [ff12::8000:525]:10525 or a broadcast address with its port"
	if ip, err := netip.ParseAddr(value); err == nil {
		return netip.AddrPort{}, &fault{quote(value) + " has no port", netip.AddrPortFrom(ip, 10525).String()}
	}
	parsed, err := netip.ParseAddrPort(value)
	if err != nil {
		return netip.AddrPort{}, &fault{quote(value) + " is not an address and a port", example}
	}
	ip, port := parsed.Addr(), parsed.Port()
	var wrong *fault
	switch {
	case port == 0:
		wrong = &fault{value + " has port 0", netip.AddrPortFrom(ip, 10525).String()}
	case ip.Zone() != "":
		plain := netip.AddrPortFrom(ip.WithZone(""), port).String()
		wrong = &fault{quote(value) + " names an interface", plain + " here and the interface under interfaces"}
	case ip.Is4In6():
		wrong = &fault{value + " is an IPv4 address in IPv6 clothes", netip.AddrPortFrom(ip.Unmap(), port).String()}
	case ip.Is6() && !ip.IsLinkLocalMulticast():
		wrong = &fault{value + " is not a link-local multicast address",
			"one that begins with ff12, such as [ff12::8000:525]:10525"}
	case ip.Is4() && !ip.IsMulticast() && !mayBeBroadcast(ip):
		wrong = &fault{value + " reaches one host, not a group", example}
	}
	if wrong != nil {
		return netip.AddrPort{}, wrong
	}
	return parsed, nil
}

// mayBeBroadcast says whether some network of 4 addresses or more has ip as its broadcast address.
func mayBeBroadcast(ip netip.Addr) bool { return ip.As4()[3]&3 == 3 }
