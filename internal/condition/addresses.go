// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"fmt"
	"net/netip"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// inRange is inIpRange for a range that is computed.
func inRange(address, within ref.Val) ref.Val {
	text, isText := within.(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(within)
	}
	addresses, err := parseRange(string(text))
	if err != nil {
		return types.WrapErr(err)
	}
	return contains(addresses, address)
}

// contains is inIpRange for a range that is known.
func contains(addresses netip.Prefix, address ref.Val) ref.Val {
	text, isText := address.(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(address)
	}
	ip, err := parseAddress(string(text))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(addresses.Contains(ip))
}

// parseAddress reads an IP address without a zone, an IPv4-mapped one as the IPv4 address.
func parseAddress(text string) (netip.Addr, error) {
	// Nothing longer is an address, and netip keeps the zones that it has seen.
	if len(text) <= maxAddress {
		if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
			return address.Unmap(), nil
		}
	}
	return netip.Addr{}, textError{text, "is not an IP address, such as \"10.0.0.1\" or \"2001:db8::1\""}
}

// parseRange reads an address range in CIDR form; host bits count for nothing. A range of IPv4-mapped addresses is
// one of IPv4 addresses, since that is how conditions see those.
func parseRange(text string) (netip.Prefix, error) {
	addresses, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, textError{text, "is not an address range in CIDR form, such as \"10.0.0.0/8\" or \"2001:db8::/32\""}
	}
	const mapped = 96
	if addresses.Addr().Is4In6() && addresses.Bits() >= mapped {
		return netip.PrefixFrom(addresses.Addr().Unmap(), addresses.Bits()-mapped), nil
	}
	return addresses, nil
}

// textError is what is wrong with a text of a condition or of a request.
type textError struct{ text, fault string }

func (e textError) Error() string { return fmt.Sprintf("%q %s", e.text, e.fault) }
