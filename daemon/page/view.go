package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"meantime/daemon/control"
)

// mostRows is how many members the table shows: on a larger LAN those who do not vote before the others.
const mostRows = 256

// notKnown stands for what is not known.
const notKnown = "–"

// level says at a glance how things are. It is a class of page.css, too.
type level string

const (
	levelGood level = "good" // the LAN agrees, or the member votes
	levelWait level = "wait" // it is about to: nothing for anybody to do
	levelWarn level = "warn" // somebody should look
	levelBad  level = "bad"  // LAN time is not kept, or not followed
)

// view is what the page says beside the plot, in words: the template writes it, and page.js the same after each sample.
type view struct {
	Host    string     `json:"host"`
	Verdict verdict    `json:"verdict"`
	Facts   []fact     `json:"facts"`
	Rows    []row      `json:"rows"`
	Note    string     `json:"note"` // about the table
	Events  []eventRow `json:"events"`
}

// verdict is the one sentence.
type verdict struct {
	Level  level  `json:"level"`
	Text   string `json:"text"`
	Detail string `json:"detail"`
	Said   string `json:"said"` // the same without the figures that change from second to second, for those who listen
}

// fact is a name and its value.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// row is a member.
type row struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Sub       string `json:"sub"` // its id and address, as far as Name is neither
	Curve     int    `json:"curve"`
	Self      bool   `json:"self"`
	Master    bool   `json:"master"`
	Level     level  `json:"level"`
	Role      string `json:"role"`
	Votes     string `json:"votes"`
	Offset    string `json:"offset"`
	Bound     string `json:"bound"` // with its ±, "" where it is not known
	Jitter    string `json:"jitter"`
	Delay     string `json:"delay"`
	Frequency string `json:"frequency"`
	Heard     string `json:"heard"`
}

// eventRow is an event.
type eventRow struct {
	At    string `json:"at"` // RFC 3339
	Level level  `json:"level"`
	Text  string `json:"text"`
	Facts string `json:"facts"`
}

// newView puts a sample into words; since is how long its state and its master have been what they are.
func newView(s Sample, since time.Duration) view {
	v := view{Host: cmp.Or(s.Status.Name, s.Status.ID), Verdict: newVerdict(s, since), Facts: facts(s.Status)}
	members := slices.Clone(s.Members.Members)
	slices.SortStableFunc(members, func(a, b control.Member) int { return cmp.Compare(order(a), order(b)) })
	for _, m := range members[:min(len(members), mostRows)] {
		v.Rows = append(v.Rows, newRow(m, s.Status))
	}
	v.Note = note(s, len(members)-len(v.Rows))
	for _, e := range slices.Backward(s.Events.Events) {
		v.Events = append(v.Events, newEvent(e))
	}
	return v
}

// order puts the host itself before the master, both before whoever does not vote, and these before the others.
func order(m control.Member) int {
	switch {
	case m.Self:
		return 0
	case m.Master:
		return 1
	case rankOf(m) == rankOdd:
		return 2
	}
	return 3
}

// label is what a member is called.
func label(m control.Member) string { return cmp.Or(m.Name, m.ID) }

// newVerdict is the one sentence about a sample.
func newVerdict(s Sample, since time.Duration) verdict {
	v := stateVerdict(s, since)
	v.Said = cmp.Or(v.Said, v.Text)
	if state := s.Status.State; slewed(s.Status) && (state == "keeping" || state == "following") {
		const said = "This clock is being slewed to LAN time"
		toGo := human(new(control.SecondsOf(s.Status.Offset.Duration().Abs())))
		v = verdict{Level: levelWarn, Text: said + ", " + toGo + " to go", Said: said, Detail: v.Text + ". " + v.Detail}
	}
	if s.Status.DryRun {
		v.Detail += " Dry run: this host's clock is a virtual one."
	}
	if who := strings.Join(s.Status.Interference, "; "); who != "" {
		v.Detail = "Others have their hands at this clock: " + who + ". " + v.Detail
		if v.Level != levelBad {
			v.Level = levelWarn
		}
	}
	return v
}

// stateVerdict is it as far as the state goes.
func stateVerdict(s Sample, since time.Duration) verdict {
	lasting := age(since)
	bound := " This clock is off by " + human(s.Status.Bound) + " at most."
	switch s.Status.State {
	case "keeping":
		return keeping(s)
	case "following":
		return following(s)
	case "holdover":
		silent := cmp.Or(s.Status.LastPoll, new(control.SecondsOf(since))).Duration()
		return verdict{Level: levelBad, Text: "No master since " + age(silent), Said: "No master",
			Detail: "Holdover: this clock holds its frequency while the LAN elects another." + bound}
	case "gathering":
		return verdict{Level: levelWait, Text: "Measuring for " + lasting, Said: "Measuring",
			Detail: "This host is master and gathers the others; no clock is moved yet."}
	case "joining":
		return verdict{Level: levelWait, Text: "Joining for " + lasting, Said: "Joining", Detail: "A master is heard; its time is not taken yet."}
	case "holding":
		return verdict{Level: levelBad, Text: "No majority agrees since " + lasting, Said: "No majority agrees",
			Detail: "This host is master and steers nobody: more than half of the voters have to agree." + odd(s)}
	case "panic":
		return verdict{Level: levelBad, Text: "This clock is left alone since " + lasting, Said: "This clock is left alone",
			Detail: "It is further from LAN time than the panic limits: set it by hand, or raise panic_forward or panic_backward."}
	}
	return verdict{Level: levelWait, Text: "No master heard for " + lasting, Said: "No master heard",
		Detail: "This host listens, and stands for master where its role allows it."}
}

// keeping is the verdict of a master that keeps LAN time.
func keeping(s Sample) verdict {
	members, voters := s.Status.Members, s.Status.Voters
	switch {
	case voters == 0:
		return verdict{Level: levelWait, Text: "This host is master now", Detail: "It measures the others; its first round counts the votes."}
	case members == 1:
		return verdict{Level: levelWarn, Text: "This host is alone", Detail: "It is master of a LAN on which it hears nobody else."}
	case voters < 2:
		return verdict{Level: levelWarn, Text: fmt.Sprintf("%d hosts follow this one", members-1), Detail: "No other host votes yet." + odd(s)}
	case voters < members:
		return agreement(s, fmt.Sprintf("%d of %d hosts", voters, members), levelWarn, "This host is master."+odd(s))
	}
	return agreement(s, fmt.Sprintf("%d hosts", members), levelGood, "This host is master. All of them vote.")
}

// following is the verdict of a slave that is on LAN time.
func following(s Sample) verdict {
	master := cmp.Or(s.Status.MasterName, masterName(s), s.Status.Master)
	detail := fmt.Sprintf("%s is master. This clock is off by %s at most.", master, human(s.Status.Bound))
	members, voters := s.Status.Members, s.Status.Voters
	switch {
	case voters < 2:
		return verdict{Level: levelGood, Text: "On LAN time", Detail: detail}
	case voters < members:
		detail += " The master's page says who does not vote, and why."
		return agreement(s, fmt.Sprintf("%d of %d hosts", voters, members), levelWarn, detail)
	}
	return agreement(s, fmt.Sprintf("%d hosts", voters), levelGood, detail)
}

// apartFrom is the distance from which on clocks do not agree: they are slewed to LAN time still.
const apartFrom = time.Millisecond

// slewed says whether this host's own clock still has a way to LAN time before it.
func slewed(s control.Status) bool { return s.Offset.Duration().Abs() > apartFrom }

// agreement says how far apart the voters' clocks are.
func agreement(s Sample, who string, l level, detail string) verdict {
	spread := s.Status.Spread
	switch {
	case spread == nil:
		return verdict{Level: l, Text: who + " agree", Said: who + " agree", Detail: detail}
	case spread.Duration() > apartFrom:
		return verdict{Level: levelWarn, Text: who + " are " + human(spread) + " apart", Said: who + " do not agree yet", Detail: detail}
	}
	return verdict{Level: l, Text: who + " agree within " + human(spread), Said: who + " agree", Detail: detail}
}

// odd names whoever does not vote, and why; of many the first.
func odd(s Sample) string {
	const most = 3
	var names []string
	count := 0
	for _, m := range s.Members.Members {
		if m.Votes == nil || *m.Votes {
			continue
		}
		if count++; count <= most {
			names = append(names, label(m)+": "+cmp.Or(m.Why, "does not vote"))
		}
	}
	if count == 0 {
		return ""
	}
	text := " " + strings.Join(names, "; ")
	if count > most {
		text += fmt.Sprintf("; and %d more", count-most)
	}
	return text + "."
}

// facts are about the host itself.
func facts(s control.Status) []fact {
	master := "none known"
	switch {
	case s.Master == "":
	case s.Master == s.ID:
		master = "this host"
	default:
		master = cmp.Or(s.MasterName, s.MasterAddr, s.Master)
	}
	key := cmp.Or(s.Key, "none")
	return []fact{
		{"State", s.State}, {"Master", master}, {"Term", fmt.Sprint(s.Term)}, {"Round", fmt.Sprint(s.Round)},
		{"Members", fmt.Sprint(s.Members)}, {"Voters", fmt.Sprint(s.Voters)}, {"Spread", human(s.Spread)},
		{"Error at most", human(s.Bound)}, {"To slew", human(new(-s.Offset))}, {"Frequency", ppm(&s.Frequency)},
		{"Poll", human(&s.Interval)}, {"Stamps", map[bool]string{true: "kernel", false: "user space"}[s.KernelStamps]},
		{"Key", key}, {"Up", age(s.Uptime.Duration())},
	}
}

// newRow is a member in words.
func newRow(m control.Member, s control.Status) row {
	r := row{
		ID: m.ID, Name: label(m), Self: m.Self, Master: m.Master, Curve: -1, Role: "slave", Heard: notKnown,
		Offset: human(m.Offset), Bound: plusMinus(cmp.Or(m.Bound, m.Word)), Jitter: human(m.Jitter), Delay: human(m.Delay),
		Frequency: ppm(m.Frequency),
	}
	sub := []string{}
	if m.Name != "" {
		sub = append(sub, m.ID)
	}
	if m.Address != "" {
		sub = append(sub, m.Address)
	}
	r.Sub = strings.Join(sub, " · ")
	if m.Master {
		r.Role = "master"
	}
	if m.Self {
		r.Bound, r.Heard = plusMinus(s.Bound), "itself"
		if m.Offset == nil && s.Bound != nil {
			r.Offset = human(&s.Offset)
		}
	} else if m.Heard != nil {
		r.Heard = age(m.Heard.Duration()) + " ago"
	}
	r.Votes, r.Level = votes(m)
	return r
}

// votes says whether a member does, and why not.
func votes(m control.Member) (string, level) {
	switch {
	case m.Votes == nil && m.Standing == "":
		return notKnown, ""
	case m.Votes == nil && m.Standing == "voter":
		return "yes", levelGood
	case m.Votes == nil:
		return m.Standing, levelWait
	case *m.Votes:
		return "yes", levelGood
	case strings.HasPrefix(m.Why, "newcomer"):
		return "no: " + m.Why, levelWait
	}
	return "no: " + cmp.Or(m.Why, "unknown"), levelWarn
}

// note is what the table leaves out.
func note(s Sample, left int) string {
	switch {
	case !s.Members.Complete && s.Members.Master != "":
		return "The master alone measures all hosts: its page, on " + s.Members.Master + ", shows them."
	case !s.Members.Complete:
		return "No master is known, and a master alone measures all hosts."
	case left > 0:
		return fmt.Sprintf("%d more hosts vote; meantime members lists all of them.", left)
	}
	return ""
}

// newEvent is an event in words.
func newEvent(e control.Event) eventRow {
	r := eventRow{At: e.At.Format(time.RFC3339Nano), Level: levelWait, Text: e.Text}
	if e.Level != "INFO" {
		r.Level = levelWarn
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(e.Facts)) {
		list = append(list, key+"="+e.Facts[key])
	}
	r.Facts = strings.Join(list, " ")
	return r
}

// human is a duration in three figures.
func human(s *control.Seconds) string {
	if s == nil {
		return notKnown
	}
	value, units := float64(*s)*1e9, []string{"ns", "µs", "ms", "s"}
	size := max(value, -value)
	if size >= 99.95e9 {
		return s.Duration().Round(time.Second).String()
	}
	unit := 0
	for size >= 999.5 && unit < len(units)-1 {
		size, value, unit = size/1000, value/1000, unit+1
	}
	decimals := 2
	switch {
	case unit == 0 || size >= 99.95:
		decimals = 0
	case size >= 9.995:
		decimals = 1
	}
	text := fmt.Sprintf("%.*f %s", decimals, value, units[unit])
	if zero, ok := strings.CutPrefix(text, "-0 "); ok {
		return "0 " + zero
	}
	return strings.Replace(text, "-", "−", 1)
}

// plusMinus is how far something may be off.
func plusMinus(s *control.Seconds) string {
	if s == nil {
		return ""
	}
	return "± " + human(s)
}

// ppm is a rate.
func ppm(rate *float64) string {
	if rate == nil {
		return notKnown
	}
	return strings.Replace(fmt.Sprintf("%+.3f ppm", *rate), "-", "−", 1)
}

// age is a time that passes: whole seconds, minutes, hours or days.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
