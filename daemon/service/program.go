package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"meantime/configs"
)

// programPath is the program that a service is to run: the one given, or this one.
func programPath(given string) (string, error) {
	if given != "" {
		if !filepath.IsAbs(given) {
			return "", fmt.Errorf("the program %s: write its whole path", given)
		}
		return filepath.Clean(given), nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w (name it with --program)", err)
	}
	return path, nil
}

// hidden are the folders that the unit's sandbox hides (ProtectHome, PrivateTmp).
var hidden = []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}

// reachable refuses a program that the service's account could not start, or a unit could not name.
func reachable(program string) error {
	const remedy = "copy it to /usr/local/bin and run `service install` from there"
	if strings.ContainsAny(program, "\"'\\$\n\t") {
		return fmt.Errorf("no unit can name the program %q: %s", program, remedy)
	}
	for _, dir := range hidden {
		if strings.HasPrefix(program, dir) {
			return fmt.Errorf("the service could not see the program %s, as %s is hidden from it: %s", program, strings.TrimSuffix(dir, "/"), remedy)
		}
	}
	for path := program; path != "/"; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("the program: %w", err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the service's account may not start %s, because of the mode of %s, %v: %s", program, path, info.Mode(), remedy)
		}
	}
	return nil
}

// configDir is the folder of the configuration file.
func configDir() string { return filepath.Dir(configs.DefaultPath()) }

// editedError says how a file differs from what would be written, and what to do.
func editedError(path, has, wants string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: lines that it has (-) and would have (+):", path)
	for _, side := range []struct{ mark, of, in string }{{"-", has, wants}, {"+", wants, has}} {
		others := map[string]bool{}
		for line := range strings.Lines(side.in) {
			others[strings.TrimSuffix(line, "\n")] = true
		}
		for line := range strings.Lines(side.of) {
			if line = strings.TrimSuffix(line, "\n"); !others[line] {
				fmt.Fprintf(&text, "\n%s %s", side.mark, line)
			}
		}
	}
	return fmt.Errorf("%w: %s", ErrEdited, text.String())
}
