package main

import (
	"os"
	"path/filepath"

	"meantime/packaging"
)

// installed is where the program lies in packages, and in what its service files say.
const installed = "/usr/bin/meantime"

// places are where texts lie in packages. What is not here is left out or goes by the format's own rules.
var places = map[string]string{
	"meantime.yaml":            "/etc/meantime/meantime.yaml",
	"completion/meantime.bash": "/usr/share/bash-completion/completions/meantime",
	"completion/meantime.zsh":  "/usr/share/zsh/site-functions/_meantime",
	"completion/meantime.fish": "/usr/share/fish/vendor_completions.d/meantime.fish",
	"man/meantime.1":           "/usr/share/man/man1/meantime.1.gz",
	"man/meantime.yaml.5":      "/usr/share/man/man5/meantime.yaml.5.gz",
	"README.md":                "/usr/share/doc/meantime/README.md",
	"SECURITY.md":              "/usr/share/doc/meantime/SECURITY.md",
	"PROTOCOL.md":              "/usr/share/doc/meantime/PROTOCOL.md.gz",
	"CHANGELOG.md":             "/usr/share/doc/meantime/changelog.gz",
}

// linuxFiles are the files of a package.
func (b *builder) linuxFiles(p product, program string) ([]file, error) {
	own := []file{{path: installed, source: program, mode: 0o755}}
	for _, f := range b.texts {
		place := places[f.path]
		if p.kind == "deb" && f.path == "completion/meantime.zsh" { // site-functions is the administrator's there
			place = "/usr/share/zsh/vendor-completions/_meantime"
		}
		if place != "" {
			own = append(own, file{path: place, source: f.source, mode: f.mode, config: f.path == "meantime.yaml"})
		}
	}
	more, err := b.formatFiles(p)
	if err != nil {
		return nil, err
	}
	for path, text := range more {
		f := file{path: path, mode: 0o644}
		if path == "/etc/init.d/meantime" {
			f.mode = 0o755
		}
		if f.source, err = b.stage(p.kind+"-"+p.arch+path, []byte(text)); err != nil {
			return nil, err
		}
		own = append(own, f)
	}
	return own, b.compress(own)
}

// formatFiles are what each format has of its own, by path.
func (b *builder) formatFiles(p product) (map[string]string, error) {
	const doc = "/usr/share/doc/meantime/"
	licences, err := b.licences(p.system(), p.arch)
	if err != nil {
		return nil, err
	}
	read := func(name string) (text string) {
		var whole []byte
		if err == nil {
			whole, err = os.ReadFile(filepath.Join(b.root, filepath.FromSlash(name)))
		}
		return string(whole)
	}
	found := map[string]string{
		doc + "third-party.txt.gz":               string(licences),
		"/usr/share/meantime/meantime.rules.yml": packaging.AlertRules,
		"/usr/share/meantime/grafana.json":       packaging.Dashboard,
	}
	if p.kind == "apk" {
		found["/etc/init.d/meantime"] = packaging.InitScript(installed)
	} else {
		found["/usr/lib/systemd/system/meantime.service"] = packaging.Unit(installed)
		found["/usr/lib/systemd/system/meantime-wait-sync.service"] = packaging.WaitUnit(installed)
	}
	switch p.kind {
	case "deb":
		found[doc+"copyright"] = copyright(read("LICENSE"))
		found[doc+"changelog.Debian.gz"] = debianChangelog(b.release, changes(read("CHANGELOG.md")))
		found["/usr/share/lintian/overrides/meantime"] = read("packaging/deb/lintian-overrides")
	case "rpm":
		found["/usr/lib/sysusers.d/meantime.conf"] = packaging.Sysusers()
		found["/usr/share/licenses/meantime/LICENSE"] = read("LICENSE")
	case "apk":
		found["/usr/share/licenses/meantime/LICENSE"] = read("LICENSE")
	}
	return found, err
}

// compress packs what is to lie there packed.
func (b *builder) compress(own []file) error {
	for i, f := range own {
		if filepath.Ext(f.path) != ".gz" {
			continue
		}
		text, err := os.ReadFile(f.source)
		if err != nil {
			return err
		}
		if text, err = compressed(text); err != nil {
			return err
		}
		if own[i].source, err = b.stage("packed"+f.path, text); err != nil {
			return err
		}
	}
	return nil
}
