package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"meantime/configs"
)

// newManualCommand prints manual pages, which packages install. They are made of the same texts as --help and the reference file, so
// nothing in them can fall behind.
func newManualCommand(out *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "manual [meantime.yaml]",
		Short: "Print the manual page, of the commands or of the configuration file",
		Long: "Print the manual page, of the commands or of the configuration file, in the language of man:\n\n" +
			"  meantime manual | man -l -\n  meantime manual meantime.yaml | man -l -",
		ValidArgs: []string{"meantime.yaml"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != c.ValidArgs[0] {
				return fmt.Errorf("there is no manual page %q, but meantime.yaml and, without a name, that of the commands", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return out.print(fileManual())
			}
			return out.print(commandManual(c.Root()))
		},
	}
}

// page is a manual page that is being written.
type page struct{ strings.Builder }

// macro writes a line for man: a request and its arguments, quoted.
func (p *page) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, arg := range args {
		p.WriteString(` "` + strings.ReplaceAll(arg, `"`, `\(dq`) + `"`)
	}
	p.WriteByte('\n')
}

// begin writes the head of a page, its name and what it is for.
func (p *page) begin(title, section, manual, what string) {
	p.macro("TH", strings.ToUpper(title), section, "", plain("meantime "+readBuild().Version), manual)
	p.macro("SH", "NAME")
	p.WriteString(plain(title) + ` \- ` + plain(what) + "\n")
}

// item writes a heading of its own line and what belongs to it, indented. The heading is written for man already.
func (p *page) item(heading, text string) {
	p.WriteString(".TP\n" + heading + "\n")
	p.prose(text)
}

// prose writes paragraphs. Lines that are indented stay lines.
func (p *page) prose(text string) {
	filled := true
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		indented := strings.HasPrefix(line, " ")
		if line != "" && indented == filled {
			p.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[indented])
			filled = !indented
		}
		if line == "" {
			p.WriteString(".sp\n")
			continue
		}
		p.WriteString(rich(line) + "\n")
	}
	if !filled {
		p.WriteString(".fi\n")
	}
}

// plain writes a text so that man takes no letter of it for an instruction.
func plain(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}

// quoted is what stands in backquotes: a command or a key.
var quoted = regexp.MustCompile("`([^`]+)`")

// rich is plain, with what stands in backquotes in bold.
func rich(text string) string {
	var out strings.Builder
	end := 0
	for _, at := range quoted.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(plain(text[end:at[0]]) + bold(text[at[2]:at[3]]))
		end = at[1]
	}
	return out.String() + plain(text[end:])
}

func bold(text string) string   { return `\fB` + plain(text) + `\fR` }
func italic(text string) string { return `\fI` + plain(text) + `\fR` }

// commandManual is meantime(1).
func commandManual(root *cobra.Command) string {
	var p page
	p.begin(root.Name(), "1", "User Commands", strings.ToLower(root.Short[:1])+root.Short[1:])
	p.macro("SH", "SYNOPSIS")
	p.WriteString(bold(root.Name()) + " " + italic("command") + " [" + italic("flags") + "]\n")
	p.macro("SH", "DESCRIPTION")
	p.prose(root.Long)
	p.macro("SH", "COMMANDS")
	p.commands(root)
	p.macro("SH", "EXIT STATUS")
	for _, e := range exitCodes {
		p.item(bold(fmt.Sprint(e.code)), e.meaning)
	}
	p.macro("SH", "FILES")
	defaults := configs.Default()
	p.item(italic(configs.DefaultPath()), "The configuration, which need not be there: meantime.yaml(5).")
	p.item(italic(defaults.KeyFile), "The keys of the LAN, the same on every host.")
	p.item(italic(defaults.StateDir), "What is remembered over restarts: id, term and drift.")
	p.item(italic(defaults.Control), "The socket at which a running daemon is asked how it does.")
	p.macro("SH", "EXAMPLES")
	p.prose(root.Example)
	p.macro("SH", "SEE ALSO")
	p.WriteString(bold("meantime.yaml") + "(5)\n")
	return p.String()
}

// commands writes what can be run below a command.
func (p *page) commands(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		if c.Name() == "completion" || !c.HasAvailableSubCommands() { // one shell's completion is like another's
			p.command(c)
			continue
		}
		if c.Long != "" {
			p.macro("SS", plain(c.CommandPath()))
			p.prose(c.Long)
		}
		p.commands(c)
	}
}

// command writes what a command does, and its flags.
func (p *page) command(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	p.macro("SS", plain(strings.TrimSuffix(c.UseLine(), " [flags]")))
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	p.prose(text)
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		heading := bold("--" + f.Name)
		if value != "" {
			heading += " " + italic(value)
		}
		p.item(heading, usage+initially(f))
	})
	if c.Example != "" {
		p.WriteString(".PP\nExamples:\n.sp\n")
		p.prose(c.Example)
	}
}

// initially says what a flag is if it is not given, unless that is nothing.
func initially(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// fileManual is meantime.yaml(5).
func fileManual() string {
	var p page
	preface, entries := configs.Entries()
	p.begin("meantime.yaml", "5", "File Formats", "configuration of meantime")
	p.macro("SH", "SYNOPSIS")
	p.WriteString(italic(configs.DefaultPath()) + "\n")
	p.macro("SH", "DESCRIPTION")
	p.prose(preface)
	p.macro("SH", "SETTINGS")
	for _, e := range entries {
		heading := bold(e.Key + ":")
		if e.Default != "" {
			heading += " " + italic(e.Default)
		}
		p.item(heading, e.Text)
	}
	p.macro("SH", "SEE ALSO")
	p.WriteString(bold("meantime") + "(1)\n")
	return p.String()
}
