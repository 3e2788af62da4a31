// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Attributes are what conditions see; what is zero is not known.
type Attributes struct {
	IP, UserAgent                              string
	Time                                       time.Time
	ResourceName, ResourceID, ResourceLocality string
}

// Outcome is what comes of a condition.
type Outcome int

// The outcomes. Failed is that of a condition which reads what is not known, or is not what it should be.
const (
	False Outcome = iota
	True
	Failed
)

// Condition is a condition in a form that can be read without CEL, and can be told to other policy engines.
type Condition interface {
	// CEL is how a rule says it.
	CEL() string
	// Evaluate says what it comes to.
	Evaluate(a Attributes) Outcome
}

// The conditions.
type (
	// IPInRange holds for an address in the range, such as 10.0.0.0/8. Bits after the prefix count for nothing, and a
	// range of IPv4-mapped addresses is one of IPv4 addresses.
	IPInRange struct{ Range netip.Prefix }
	// UserAgentPrefix holds for user agents that start so.
	UserAgentPrefix struct{ Prefix string }
	// UserAgentContains holds for user agents in whose first 255 characters this is.
	UserAgentContains struct{ Part string }
	// Hours holds from the full hour From until before the full hour Until, in a time zone; nil means UTC.
	Hours struct {
		Zone        *time.Location
		From, Until int
	}
	// Before holds until shortly before a time.
	Before struct{ Time time.Time }
	// NotBefore holds from a time on.
	NotBefore struct{ Time time.Time }
	// NamePrefix holds for resources whose name starts so.
	NamePrefix struct{ Prefix string }
	// LocalityIs holds for resources of a locality, such as fr-par.
	LocalityIs struct{ Locality string }
	// Has holds if an attribute is known, such as resource.id.
	Has struct{ Attribute string }
	// Not holds if another condition is false.
	Not struct{ Condition Condition }
	// And holds if both do. It is false if one of them is, whatever the other comes to.
	And struct{ Left, Right Condition }
	// Or is false if both are. It holds if one of them does, whatever the other comes to.
	Or struct{ Left, Right Condition }
)

// CEL implements [Condition].
func (c IPInRange) CEL() string { return fmt.Sprintf("inIpRange(request.ip, %q)", c.Range) }

// Evaluate implements [Condition].
func (c IPInRange) Evaluate(a Attributes) Outcome {
	address, err := netip.ParseAddr(a.IP)
	if err != nil || address.Zone() != "" {
		return Failed
	}
	within := c.Range
	if within.Addr().Is4In6() && within.Bits() >= 96 {
		within = netip.PrefixFrom(within.Addr().Unmap(), within.Bits()-96)
	}
	return outcome(within.Contains(address.Unmap()))
}

// CEL implements [Condition].
func (c UserAgentPrefix) CEL() string {
	return "request.user_agent.startsWith(" + strconv.Quote(c.Prefix) + ")"
}

// Evaluate implements [Condition].
func (c UserAgentPrefix) Evaluate(a Attributes) Outcome {
	if a.UserAgent == "" {
		return Failed
	}
	return outcome(strings.HasPrefix(cut(a.UserAgent), c.Prefix))
}

// CEL implements [Condition].
func (c UserAgentContains) CEL() string {
	return "request.user_agent.contains(" + strconv.Quote(c.Part) + ")"
}

// Evaluate implements [Condition].
func (c UserAgentContains) Evaluate(a Attributes) Outcome {
	if a.UserAgent == "" {
		return Failed
	}
	return outcome(strings.Contains(cut(a.UserAgent), c.Part))
}

// cut is the beginning of a user agent that conditions see.
func cut(userAgent string) string {
	characters := 0
	for i := range userAgent {
		if characters == 255 {
			return userAgent[:i]
		}
		characters++
	}
	return userAgent
}

// CEL implements [Condition].
func (c Hours) CEL() string {
	zone := ""
	if c.Zone != nil {
		zone = strconv.Quote(c.Zone.String())
	}
	return fmt.Sprintf("request.time.getHours(%s) >= %d && request.time.getHours(%s) < %d", zone, c.From, zone, c.Until)
}

// Evaluate implements [Condition].
func (c Hours) Evaluate(a Attributes) Outcome {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	hour := a.Time.In(zone).Hour()
	return ifTimed(a, c.From <= hour && hour < c.Until)
}

// CEL implements [Condition].
func (c Before) CEL() string {
	return fmt.Sprintf("request.time < %q", c.Time.Format(time.RFC3339Nano))
}

// Evaluate implements [Condition].
func (c Before) Evaluate(a Attributes) Outcome { return ifTimed(a, a.Time.Before(c.Time)) }

// CEL implements [Condition].
func (c NotBefore) CEL() string {
	return fmt.Sprintf("timestamp(%q) <= request.time", c.Time.Format(time.RFC3339Nano))
}

// Evaluate implements [Condition].
func (c NotBefore) Evaluate(a Attributes) Outcome { return ifTimed(a, !a.Time.Before(c.Time)) }

// ifTimed fails where the time of a request is not known, or is none that RFC 3339 can tell.
func ifTimed(a Attributes, holds bool) Outcome {
	if year := a.Time.UTC().Year(); a.Time.IsZero() || year < 1 || year > 9999 {
		return Failed
	}
	return outcome(holds)
}

// CEL implements [Condition].
func (c NamePrefix) CEL() string { return "resource.name.startsWith(" + strconv.Quote(c.Prefix) + ")" }

// Evaluate implements [Condition].
func (c NamePrefix) Evaluate(a Attributes) Outcome {
	if a.ResourceName == "" || utf8.RuneCountInString(a.ResourceName) > 1024 {
		return Failed
	}
	return outcome(strings.HasPrefix(a.ResourceName, c.Prefix))
}

// CEL implements [Condition].
func (c LocalityIs) CEL() string { return "resource.locality == " + strconv.Quote(c.Locality) }

// Evaluate implements [Condition].
func (c LocalityIs) Evaluate(a Attributes) Outcome {
	if a.ResourceLocality == "" || utf8.RuneCountInString(a.ResourceLocality) > 64 {
		return Failed
	}
	return outcome(a.ResourceLocality == c.Locality)
}

// CEL implements [Condition].
func (c Has) CEL() string { return "has(" + c.Attribute + ")" }

// Evaluate implements [Condition].
func (c Has) Evaluate(a Attributes) Outcome {
	known := map[string]bool{
		"request.ip": a.IP != "", "request.user_agent": a.UserAgent != "", "request.time": !a.Time.IsZero(),
		"resource.name": a.ResourceName != "", "resource.id": a.ResourceID != "", "resource.locality": a.ResourceLocality != "",
	}
	return outcome(known[c.Attribute])
}

// CEL implements [Condition].
func (c Not) CEL() string { return "!(" + c.Condition.CEL() + ")" }

// Evaluate implements [Condition].
func (c Not) Evaluate(a Attributes) Outcome {
	switch c.Condition.Evaluate(a) {
	case True:
		return False
	case False:
		return True
	}
	return Failed
}

// CEL implements [Condition].
func (c And) CEL() string { return "(" + c.Left.CEL() + ") && (" + c.Right.CEL() + ")" }

// Evaluate implements [Condition].
func (c And) Evaluate(a Attributes) Outcome {
	left, right := c.Left.Evaluate(a), c.Right.Evaluate(a)
	switch {
	case left == False || right == False:
		return False
	case left == Failed || right == Failed:
		return Failed
	}
	return True
}

// CEL implements [Condition].
func (c Or) CEL() string { return "(" + c.Left.CEL() + ") || (" + c.Right.CEL() + ")" }

// Evaluate implements [Condition].
func (c Or) Evaluate(a Attributes) Outcome {
	left, right := c.Left.Evaluate(a), c.Right.Evaluate(a)
	switch {
	case left == True || right == True:
		return True
	case left == Failed || right == Failed:
		return Failed
	}
	return False
}

func outcome(holds bool) Outcome {
	if holds {
		return True
	}
	return False
}
