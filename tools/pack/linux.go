package main

import (
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // each registers its format
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"

	"meantime/packaging"
)

const (
	// maintainer is who a package says to write to. The project has no mail address; ".invalid" says so (RFC 2606).
	maintainer  = "The meantime authors <authors@meantime.invalid>"
	summary     = "One common time for the machines of a LAN, with no reference"
	description = summary + `
meantime keeps the clocks of all machines on a LAN on one common time
from the machines themselves: no GPS, no internet, no server that must
be right. One node, elected by all, polls; every node answers; and all of
them follow the fault-tolerant mean of their clocks (Berkeley algorithm).

All packets are authenticated with one key that the machines share.`
	// revision is of the packaging, for formats that have one: the same source is never packed twice in two ways.
	revision = "1"
)

// linuxPackage makes a deb, an rpm or an apk.
func (b *builder) linuxPackage(p product, program, out string) (string, error) {
	own, err := b.linuxFiles(p, program)
	if err != nil {
		return "", err
	}
	scripts := func(name string) string { return filepath.Join(b.work, "packaging", p.kind, name) }
	info := &nfpm.Info{
		Name: "meantime", Arch: p.arch, Platform: "linux", Version: b.release.String(), VersionSchema: "none", Release: revision,
		Section: "net", Priority: "optional", Maintainer: maintainer, Description: description, License: "MIT",
		MTime: b.release.time, DisableGlobbing: true,
	}
	switch p.kind {
	case "deb":
		// Debian's convention: of the time daemons on a host there is one. adduser makes the account; nothing else is needed, not even libc.
		info.Provides, info.Conflicts, info.Replaces = []string{"time-daemon"}, []string{"time-daemon"}, []string{"time-daemon"}
		info.Depends = []string{"adduser"}
		info.Scripts = nfpm.Scripts{PostInstall: scripts("postinst"), PreRemove: scripts("prerm"), PostRemove: scripts("postrm")}
	}
	for _, f := range own {
		content := &files.Content{Source: f.source, Destination: f.path, FileInfo: &files.ContentFileInfo{Mode: f.mode}}
		if f.config {
			content.Type = files.TypeConfigNoReplace
		}
		info.Contents = append(info.Contents, content)
	}
	packager, err := nfpm.Get(p.kind)
	if err != nil {
		return "", err
	}
	name := packager.ConventionalFileName(nfpm.WithDefaults(info))
	target, err := os.Create(filepath.Join(out, name))
	if err != nil {
		return "", err
	}
	defer target.Close()
	if err := packager.Package(info, target); err != nil {
		return "", err
	}
	return name, target.Close()
}

// installed is where the program lies in packages, and in what its service files say.
const installed = "/usr/bin/meantime"

// linuxFiles are the files of a package.
func (b *builder) linuxFiles(p product, program string) ([]file, error) {
	zsh := "/usr/share/zsh/site-functions/_meantime"
	if p.kind == "deb" {
		zsh = "/usr/share/zsh/vendor-completions/_meantime"
	}
	places := map[string]string{
		"meantime.yaml": "/etc/meantime/meantime.yaml",
		"meantime.1.gz": "/usr/share/man/man1/meantime.1.gz", "meantime.yaml.5.gz": "/usr/share/man/man5/meantime.yaml.5.gz",
		"completion/meantime.bash": "/usr/share/bash-completion/completions/meantime",
		"completion/meantime.zsh":  zsh,
		"completion/meantime.fish": "/usr/share/fish/vendor_completions.d/meantime.fish",
	}
	own := []file{{path: installed, source: program, mode: 0o755}}
	for _, f := range b.texts {
		if place := places[f.path]; place != "" {
			f.path, f.config = place, f.path == "meantime.yaml"
			own = append(own, f)
		}
	}
	services := map[string]string{"/usr/lib/systemd/system/meantime.service": packaging.Unit(installed)}
	if p.kind == "rpm" {
		services["/usr/lib/sysusers.d/meantime.conf"] = packaging.Sysusers()
	}
	for path, text := range services {
		source, err := b.stage(p.kind+path, []byte(text))
		if err != nil {
			return nil, err
		}
		own = append(own, file{path: path, source: source, mode: 0o644})
	}
	return own, nil
}
