package main

import (
	"testing"
	"time"

	"meantime/daemon/control"
)

func TestShowSetting(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 18, 0, 0, time.UTC)
	for want, s := range map[string]control.Setting{
		"LAN time is set 1m30s forward, beginning in 8.6s.\nThis clock is slewed there.\nClocks that are slewed take 17m52s, together, until 2026-11-23T10:18:00Z.\n": {
			By: 90, Begins: 8.58, Takes: 1072.4, Ends: at,
		},
		"LAN time is set 2.5s back, beginning in 8s.\nThis clock is stepped then.\nClocks that are slewed take 1h35m14s, together, until 2026-11-23T10:18:00Z.\n" +
			"That is long: a clock is stepped only on hosts with `step: always`; the same command with --by 2.5s undoes it.\n": {
			By: -2.5, Begins: 8, Steps: true, Takes: 5714, Ends: at,
		},
	} {
		if got := showSetting(s); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", s, got, want)
		}
	}
}
