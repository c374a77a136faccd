package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // each registers its format
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
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
	// revision is of the packaging, for formats that have one: the same source is never packed in two ways.
	revision = "1"
)

// linuxPackage makes a deb, an rpm or an apk.
func (b *builder) linuxPackage(p product, program, out string) (string, error) {
	own, err := b.linuxFiles(p, program)
	if err != nil {
		return "", err
	}
	info := &nfpm.Info{
		Name: "meantime", Arch: p.arch, Platform: "linux", Version: b.release.String(), VersionSchema: "none", Release: revision,
		Section: "net", Priority: "optional", Maintainer: maintainer, Description: description, License: "MIT",
		MTime: b.release.time, DisableGlobbing: true,
	}
	if err := b.describe(info, p.kind); err != nil {
		return "", err
	}
	for _, f := range own {
		info.Contents = append(info.Contents, content(f, p.kind))
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

// content tells nfpm of a file. rpm also wants to know which are documents.
func content(f file, kind string) *files.Content {
	c := &files.Content{Source: f.source, Destination: f.path, FileInfo: &files.ContentFileInfo{Mode: f.mode}}
	switch {
	case f.config:
		c.Type = files.TypeConfigNoReplace
	case kind == "rpm" && strings.HasPrefix(f.path, "/usr/share/licenses/"):
		c.Type = files.TypeRPMLicense
	case kind == "rpm" && (strings.HasPrefix(f.path, "/usr/share/doc/") || strings.HasPrefix(f.path, "/usr/share/man/")):
		c.Type = files.TypeRPMDoc
	}
	return c
}

// describe adds what a format wants to be told in its own way.
func (b *builder) describe(info *nfpm.Info, kind string) error {
	scripts, err := b.scripts(kind)
	if err != nil {
		return err
	}
	switch kind {
	case "deb":
		// Debian's convention: of the time daemons on a host there is one. adduser makes the account; nothing else is needed, not even libc.
		info.Provides, info.Conflicts, info.Replaces = []string{"time-daemon"}, []string{"time-daemon"}, []string{"time-daemon"}
		info.Depends = []string{"adduser"}
		info.Scripts = nfpm.Scripts{PostInstall: scripts["postinst"], PreRemove: scripts["prerm"], PostRemove: scripts["postrm"]}
	case "rpm":
		info.Depends = []string{"systemd"}
		// gone with the package
		for _, dir := range []string{"/etc/meantime", "/usr/share/doc/meantime", "/usr/share/licenses/meantime", "/usr/share/meantime"} {
			info.Contents = append(info.Contents, &files.Content{Destination: dir, Type: files.TypeDir})
		}
		info.Scripts = nfpm.Scripts{PostInstall: scripts["post"], PreRemove: scripts["preun"], PostRemove: scripts["postun"]}
		// The host that builds is nobody's business, and would be different bytes.
		info.RPM = nfpm.RPM{Summary: summary, Group: "System Environment/Daemons", BuildHost: "localhost"}
		text, err := os.ReadFile(filepath.Join(b.root, "CHANGELOG.md"))
		if err != nil {
			return err
		}
		info.Changelog, err = b.stage("rpm/changelog", []byte(rpmChangelog(b.release, changes(string(text)))))
		return err
	case "apk":
		info.Version, info.Description = b.release.apk(), summary
		info.Scripts = nfpm.Scripts{PreInstall: scripts["pre-install"], PostInstall: scripts["post-install"], PreRemove: scripts["pre-deinstall"]}
		info.APK.Scripts = nfpm.APKScripts{PreUpgrade: scripts["pre-install"], PostUpgrade: scripts["post-upgrade"]}
	}
	return nil
}

// scripts are what a package runs when it comes and goes, by name.
func (b *builder) scripts(kind string) (map[string]string, error) {
	found := map[string]string{}
	dir := filepath.Join(b.root, "packaging", kind)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if found[entry.Name()], err = b.stage("scripts/"+kind+"/"+entry.Name(), text); err != nil {
			return nil, err
		}
	}
	return found, nil
}
