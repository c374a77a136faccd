package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxSize is the largest file read, in bytes: a hundred times what the longest sensible one needs.
const maxSize = 1 << 20

// onePerLine is what to write where YAML itself is the trouble.
const onePerLine = "one setting, a colon, a space and its value per line"

// Override is a value from the command line. It replaces what the file says.
type Override struct {
	Flag   string   // as the user wrote it: "--poll"
	Key    string   // dotted: "virtual.offset"
	Values []string // exactly one, except for a list
}

// Machine is what the clock of the host that a configuration is for can do, so that a file which asks for more is refused. The
// zero value sets no limit.
type Machine struct {
	Clock string // what sets the clock there, for the message: "adjtimex"
	Slew  Rate   // largest extra rate while slewing; 0 = not known
}

// Load reads the file at path as Parse does. Its error is Problems, or that of the read.
func Load(path string, flags ...Override) (Config, error) { return Machine{}.Load(path, flags...) }

// Parse reads a YAML document on top of Default, then the flags on top of both. An empty document is Default.
// The error, if any, is Problems: everything wrong in file and flags at once. name stands for the file in them.
func Parse(name string, data []byte, flags ...Override) (Config, error) {
	return Machine{}.Parse(name, data, flags...)
}

// Load is the function Load for this machine.
func (m Machine) Load(path string, flags ...Override) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return Config{}, err
	}
	return m.Parse(path, data, flags...)
}

// Parse is the function Parse for this machine.
func (m Machine) Parse(name string, data []byte, flags ...Override) (Config, error) {
	p := parser{file: name, config: Default(), said: map[string]place{}}
	if len(data) > maxSize {
		p.add(0, "", "the file is larger than 1 MiB", "only the keys that differ from their defaults")
	} else {
		p.documents(data)
	}
	for _, flag := range flags {
		p.flag(flag)
	}
	p.together()
	p.honoured(m)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
		return Config{}, p.problems
	}
	return p.config, nil
}

// place is where a key got its value.
type place struct {
	file string
	line int
}

// parser collects the values and the problems of one configuration.
type parser struct {
	file     string
	config   Config
	said     map[string]place // the keys whose value was taken
	problems Problems
}

func (p *parser) add(line int, key, what, write string) {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Key: key, What: what, Write: write})
}

// documents reads the first YAML document and refuses a second, which a YAML decoder would pass over in silence.
func (p *parser) documents(data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		p.syntax(err, data)
		return
	}
	p.root(first.Content[0])
	err = decoder.Decode(&second)
	switch {
	case err == nil:
		p.add(second.Line, "", "a second document begins here", "all keys in one document, without a line of ---")
	case !errors.Is(err, io.EOF):
		p.syntax(err, data)
	}
}

var syntaxLine = regexp.MustCompile(`^line ([0-9]+): `)

// syntax reports what the YAML reader could not read. Its own message tells the line, if any.
func (p *parser) syntax(err error, data []byte) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if found := syntaxLine.FindStringSubmatch(message); found != nil {
		line, _ = strconv.Atoi(found[1]) // digits only; one too long for an int stays 0
		message = strings.TrimPrefix(message, found[0])
	}
	write := onePerLine
	if tab := tabbed(data); tab > 0 {
		line, message, write = tab, "a tab begins this line", "spaces in its place"
	}
	p.add(line, "", "this is not YAML ("+printable(message)+")", write)
}

// tabbed returns the first line indented with a tab, which YAML does not allow and reports in riddles; 0 = none.
func tabbed(data []byte) int {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")) {
			return i + 1
		}
	}
	return 0
}

// root reads the top of the document.
func (p *parser) root(node *yaml.Node) {
	switch {
	case node.Kind == yaml.MappingNode:
		p.mapping(node, "")
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null" && node.Value == "":
		// Nothing but "---": an empty document.
	default:
		p.add(node.Line, "", "the file holds "+nature(node)+" instead of settings", onePerLine)
	}
}

// mapping reads the keys of the document or of one section, whose name and dot are prefix.
func (p *parser) mapping(node *yaml.Node, prefix string) {
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			p.add(name.Line, "", nature(name)+" stands where a setting belongs", "a setting such as "+prefix+known(prefix)[0])
			continue
		}
		key := prefix + name.Value
		if line, twice := first[key]; twice {
			p.add(name.Line, label(key), fmt.Sprintf("the setting was given before, in line %d", line), "it once")
			continue
		}
		first[key] = name.Line
		if strings.Contains(name.Value, ".") { // "log.level" is how we write about keys, not how a file does
			p.add(name.Line, label(key), "there is no such setting", instead(key))
			continue
		}
		p.pair(name, value, key)
	}
}

// pair reads one key and its value.
func (p *parser) pair(name, value *yaml.Node, key string) {
	f, section := find(key), len(known(key+".")) > 0
	switch {
	case f == nil && !section:
		p.add(name.Line, label(key), "there is no such setting", instead(key))
	case value.Kind == yaml.AliasNode:
		p.add(name.Line, key, "aliases ("+quote("*"+value.Value)+") are not read", "the value itself")
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		p.add(name.Line, key, "it has no value", "one, or put a # before the line for the default")
	case section && value.Kind == yaml.MappingNode:
		p.mapping(value, key+".")
	case section:
		p.add(name.Line, key, "it holds "+nature(value)+" instead of settings",
			"its settings ("+strings.Join(known(key+"."), ", ")+") indented below it")
	case f.list:
		p.sequence(name.Line, value, f)
	default:
		p.scalar(name.Line, value, f)
	}
}

// scalar reads the value of a key that has one.
func (p *parser) scalar(line int, value *yaml.Node, f *field) {
	if value.Kind != yaml.ScalarNode {
		p.add(line, f.key, "it holds "+nature(value)+" instead of one value", sample(f))
		return
	}
	if wrong := mismatch(value, f); wrong != nil {
		p.add(line, f.key, wrong.what, wrong.write)
		return
	}
	p.take(f, []string{value.Value}, place{p.file, line})
}

// sequence reads the value of a key that has a list.
func (p *parser) sequence(line int, value *yaml.Node, f *field) {
	if value.Kind != yaml.SequenceNode {
		write := "a list, such as [eth0]"
		if value.Kind == yaml.ScalarNode && value.Tag == string(f.kind) {
			write = "[" + value.Value + "]"
		}
		p.add(line, f.key, "it holds "+nature(value)+" instead of a list", write)
		return
	}
	values := []string{}
	for _, element := range value.Content {
		if element.Kind != yaml.ScalarNode || element.Tag != string(f.kind) {
			write := "a name, such as eth0"
			if element.Kind == yaml.ScalarNode && element.Value != "" {
				write = strconv.Quote(element.Value)
			}
			p.add(element.Line, f.key, nature(element)+" stands in the list", write)
			continue
		}
		values = append(values, element.Value)
	}
	if len(values) == len(value.Content) {
		p.take(f, values, place{p.file, line})
	}
}

// flag reads a value of the command line. A flag that names no key is a mistake in this program.
func (p *parser) flag(flag Override) {
	f := find(flag.Key)
	if f == nil || !f.list && len(flag.Values) != 1 {
		panic("configs: no value can be set by " + flag.Flag + " for " + flag.Key)
	}
	p.take(f, flag.Values, place{file: flag.Flag})
}

// take sets one key and remembers where its value came from.
func (p *parser) take(f *field, values []string, from place) {
	if wrong := f.set(&p.config, values); wrong != nil {
		p.problems = append(p.problems, Problem{from.file, from.line, f.key, wrong.what, wrong.write})
		return
	}
	p.said[f.key] = from
}

// together checks what only several keys show, unless one of them was refused already.
func (p *parser) together() {
	c, base := &p.config, Default()
	if !p.refused("role", "priority") && c.Role == RoleMaster && c.Priority == 0 {
		p.blame("0 means never master, but role is master", "a priority from 1 to 255, or role: slave", "priority")
	}
	if !p.refused("address", "unicast_port") && c.UnicastPort == c.Address.Port() {
		p.blame(fmt.Sprintf("%d is the port of both address and unicast_port", c.UnicastPort),
			"two ports, or 0 as unicast_port for any free one", "unicast_port", "address")
	}
	if !p.refused("step", "step_threshold") && c.Step != StepAlways && c.StepThreshold != base.StepThreshold {
		p.blame("it says nothing with step: "+string(c.Step), "step: always, or leave it out", "step_threshold")
	}
	if both := slices.IndexFunc(c.Excluded, func(id string) bool { return slices.Contains(c.Trusted, id) }); both >= 0 {
		p.blame(c.Excluded[both]+" is trusted, too", "it in one of the two lists", "excluded", "trusted")
	}
	if !p.refused("poll", "poll_max") && c.PollMax != 0 && c.PollMax < c.Poll {
		p.blame(fmt.Sprintf("%s is less than poll, which is %s", formatDuration(c.PollMax), formatDuration(c.Poll)),
			formatDuration(c.Poll)+" or more, or 0s to poll evenly", "poll_max", "poll")
	}
	if c.DryRun || p.refused("dry_run") {
		return
	}
	for _, f := range fields {
		if (strings.HasPrefix(f.key, "virtual.") || f.key == "trace") && !slices.Equal(f.get(c), f.get(&base)) {
			p.blame("it says nothing without a dry run", "dry_run: true (or --dry-run), or leave it out", f.key)
		}
	}
}

// honoured checks what the host's own clock cannot do. A virtual clock can do anything.
func (p *parser) honoured(m Machine) {
	if p.config.DryRun || p.refused("dry_run", "max_slew") || m.Slew == 0 || p.config.MaxSlew <= m.Slew {
		return
	}
	p.blame(fmt.Sprintf("%s is more than this system's clock can do (%s)", p.config.MaxSlew, m.Clock), m.Slew.String()+" or less", "max_slew")
}

// refused says whether one of the keys has a problem, or a part of the file was not understood at all.
func (p *parser) refused(keys ...string) bool {
	return slices.ContainsFunc(p.problems, func(q Problem) bool { return q.Key == "" || slices.Contains(keys, q.Key) })
}

// blame reports a value that is fine by itself, at the first of the keys that file or flags gave a value.
func (p *parser) blame(what, write string, keys ...string) {
	for _, key := range keys {
		if at, ok := p.said[key]; ok {
			p.problems = append(p.problems, Problem{at.file, at.line, key, what, write})
			return
		}
	}
}
