package service

import (
	"slices"
	"strings"
	"testing"
)

// The first ids are those that every Windows shows: `sc showsid TrustedInstaller`, `sc showsid W32Time`.
func TestServiceSID(t *testing.T) {
	for name, want := range map[string]string{
		"TrustedInstaller": "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
		"trustedinstaller": "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
		"meantime":         "S-1-5-80-1687493416-2951619349-1159698506-698339800-53082617", // as in daemon/keyfile_windows.go
		"W32Time":          "S-1-5-80-4267341169-2882910712-659946508-2704364837-2204554466",
	} {
		if got := serviceSID(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// The key is nobody's but the system's, the administrators' and this service's, who may only read it.
func TestAccess(t *testing.T) {
	for _, list := range []string{configAccess(), stateAccess()} {
		entries := strings.Split(strings.TrimPrefix(list, "D:P"), ")(")
		if !strings.HasPrefix(list, "D:P") || len(entries) != 3 {
			t.Errorf("%s", list)
		}
		for _, e := range entries {
			if who := e[strings.LastIndex(e, ";")+1:]; !slices.Contains([]string{"SY", "BA", serviceSID("meantime")}, strings.TrimSuffix(who, ")")) {
				t.Errorf("%s may look into it", who)
			}
		}
	}
	if !strings.Contains(configAccess(), "(A;OICI;FRFX;;;S-1-5-80-") {
		t.Errorf("the service may do more than read: %s", configAccess())
	}
}
