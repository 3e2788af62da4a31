// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// Now is when decisions in generated worlds are made: a Tuesday afternoon.
func Now() time.Time { return time.Date(2026, time.March, 3, 14, 30, 0, 0, time.UTC) }

// zones are time zones with and without summer time, east and west; nil is UTC.
var zones = sync.OnceValue(func() []*time.Location {
	found := []*time.Location{nil, nil}
	for _, name := range []string{"Europe/Paris", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"} {
		if zone, err := time.LoadLocation(name); err == nil {
			found = append(found, zone)
		}
	}
	return found
})

// ranges are of both families, with bits after the prefix, and of mapped addresses.
var ranges = sync.OnceValue(func() []netip.Prefix {
	var found []netip.Prefix
	for _, text := range []string{
		"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/12", "192.168.0.0/16", "203.0.113.0/24", "198.51.100.7/32", "0.0.0.0/0",
		"2001:db8::/32", "2001:db8:1::/48", "fd00::/8", "::/0", "::ffff:10.0.0.0/104",
	} {
		if within, err := netip.ParsePrefix(text); err == nil {
			found = append(found, within)
		}
	}
	return found
})

var (
	userAgents = []string{"terraform/", "kubectl/", "scaleway-cli/", "Mozilla/5.0"}
	prefixes   = []string{"/folder/", "/folder/a", "web-", "Web-"}
	localities = []string{"fr-par", "fr-par-1", "nl-ams", "global"}
	hasTests   = []string{
		"resource.id", "resource.id", "resource.id", "resource.name", "resource.locality", "request.ip", "request.user_agent", "request.time",
	}
	// broken are conditions that do not compile.
	broken = []string{"request.ip ==", "request.port == 22", "resource.name"}
)

// randomCondition gives a condition with at most so many levels of operators.
func randomCondition(d dice, depth int) reference.Condition {
	if depth == 0 || d.chance(50) {
		return randomTerm(d)
	}
	switch d.IntN(3) {
	case 0:
		return reference.Not{Condition: randomCondition(d, depth-1)}
	case 1:
		return reference.And{Left: randomCondition(d, depth-1), Right: randomCondition(d, depth-1)}
	}
	return reference.Or{Left: randomCondition(d, depth-1), Right: randomCondition(d, depth-1)}
}

// randomTerm gives a condition without operators.
func randomTerm(d dice) reference.Condition {
	switch d.IntN(9) {
	case 0, 1:
		return reference.IPInRange{Range: pick(d, ranges())}
	case 2:
		return reference.UserAgentPrefix{Prefix: pick(d, userAgents)}
	case 3:
		return reference.UserAgentContains{Part: pick(d, userAgents)}
	case 4:
		from := d.IntN(24)
		return reference.Hours{Zone: pick(d, zones()), From: from, Until: d.between(from+1, 24)}
	case 5:
		at := Now().Add(time.Duration(d.between(-60, 60)) * time.Minute)
		if d.chance(50) {
			return reference.Before{Time: at}
		}
		return reference.NotBefore{Time: at}
	case 6:
		return reference.NamePrefix{Prefix: pick(d, prefixes)}
	case 7:
		return reference.LocalityIs{Locality: pick(d, localities)}
	}
	return reference.Has{Attribute: pick(d, hasTests)}
}

// randomAttributes gives attributes of which some are not known and some are wrong.
func randomAttributes(d dice) reference.Attributes {
	var a reference.Attributes
	if d.chance(75) {
		a.IP = pick(d, []string{
			"10.1.2.3", "10.200.0.1", "::ffff:10.1.2.3", "192.168.7.7", "203.0.113.9", "198.51.100.7", "8.8.8.8",
			"2001:db8::1", "2001:0DB8:1::0001", "fd12::1", "10.0.0.300", "fe80::1%eth0", "localhost",
		})
	}
	if d.chance(75) {
		a.UserAgent = pick(d, []string{
			"terraform/1.9", "Terraform/1.9", "go terraform/1.9", "kubectl/v1.31", "scaleway-cli/2.30", "Mozilla/5.0 (X11)",
			strings.Repeat("é", 250) + "terraform/", strings.Repeat("é", 245) + "terraform/", "\xff\xfe",
		})
	}
	if d.chance(50) {
		a.Time = randomTime(d)
	}
	if d.chance(65) {
		a.ResourceName = pick(d, []string{"/folder/a/b", "/folder/", "web-1", "Web-1", "/Folder/", strings.Repeat("n", 1024), strings.Repeat("n", 1025)})
	}
	if d.chance(50) {
		a.ResourceID = pick(d, []string{"1", "resource-2", strings.Repeat("i", 256)})
	}
	if d.chance(65) {
		a.ResourceLocality = pick(d, append([]string{"FR-PAR", strings.Repeat("l", 65)}, localities...))
	}
	return a
}

// randomTime gives a time near Now, as a rule.
func randomTime(d dice) time.Time {
	if d.chance(3) {
		return time.Date(10000, 1, 1, 12, 0, 0, 0, time.UTC)
	}
	at := Now().Add(time.Duration(d.between(-90, 90)) * time.Minute)
	if d.chance(30) {
		at = Now().Add(time.Duration(d.between(-24*365, 24*365)) * time.Hour)
	}
	if zone := pick(d, zones()); zone != nil {
		return at.In(zone)
	}
	return at
}

// lean changes attributes so that a condition comes to what is wanted, as a rule: terms may contradict one another.
func lean(d dice, c reference.Condition, wanted bool, a *reference.Attributes) {
	switch c := c.(type) {
	case reference.Not:
		lean(d, c.Condition, !wanted, a)
	case reference.And:
		leanBoth(d, c.Left, c.Right, wanted, wanted, a)
	case reference.Or:
		leanBoth(d, c.Left, c.Right, wanted, !wanted, a)
	default:
		leanTerm(d, c, wanted, a)
	}
}

// leanBoth changes attributes for both conditions, or else for one of them.
func leanBoth(d dice, left, right reference.Condition, wanted, both bool, a *reference.Attributes) {
	order := []reference.Condition{left, right}
	if d.chance(50) {
		order = []reference.Condition{right, left}
	}
	lean(d, order[0], wanted, a)
	if both {
		lean(d, order[1], wanted, a)
	}
}

func leanTerm(d dice, c reference.Condition, wanted bool, a *reference.Attributes) {
	switch c := c.(type) {
	case reference.IPInRange:
		a.IP = either(wanted, addressIn(d, c.Range).String(), pick(d, []string{"100.64.0.1", "100::1"}))
	case reference.UserAgentPrefix:
		a.UserAgent = either(wanted, c.Prefix+"1.2", "curl/8")
	case reference.UserAgentContains:
		a.UserAgent = either(wanted, "a "+c.Part+"1.2", "curl/8")
	case reference.NamePrefix:
		a.ResourceName = either(wanted, c.Prefix+"x", "other")
	case reference.LocalityIs:
		a.ResourceLocality = either(wanted, c.Locality, "pl-waw")
	case reference.Has:
		leanKnown(c.Attribute, wanted, a)
	default:
		leanTime(d, c, wanted, a)
	}
}

func leanTime(d dice, c reference.Condition, wanted bool, a *reference.Attributes) {
	step := time.Duration(d.between(1, 3600)) * time.Second
	switch c := c.(type) {
	case reference.Before:
		a.Time = c.Time
		if wanted {
			a.Time = c.Time.Add(-step)
		}
	case reference.NotBefore:
		a.Time = c.Time
		if !wanted {
			a.Time = c.Time.Add(-step)
		}
	case reference.Hours:
		zone := c.Zone
		if zone == nil {
			zone = time.UTC
		}
		hour := d.between(c.From, c.Until-1)
		if !wanted {
			hour = c.Until
		}
		a.Time = time.Date(2026, time.March, 3, hour, d.IntN(60), d.IntN(60), 0, zone)
	}
}

func leanKnown(attribute string, known bool, a *reference.Attributes) {
	for path, value := range map[string]struct {
		attribute *string
		known     string
	}{
		"request.ip": {&a.IP, "192.0.2.1"}, "request.user_agent": {&a.UserAgent, "curl/8"}, "resource.name": {&a.ResourceName, "n"},
		"resource.id": {&a.ResourceID, "i"}, "resource.locality": {&a.ResourceLocality, "fr-par"},
	} {
		switch {
		case path != attribute:
		case !known:
			*value.attribute = ""
		case *value.attribute == "":
			*value.attribute = value.known
		}
	}
}

// addressIn gives an address of a range.
func addressIn(d dice, within netip.Prefix) netip.Addr {
	bytes := within.Masked().Addr().AsSlice()
	for bit := within.Bits(); bit < 8*len(bytes); bit++ {
		if d.chance(50) {
			bytes[bit/8] |= 1 << (7 - bit%8)
		}
	}
	address, _ := netip.AddrFromSlice(bytes)
	return address
}
