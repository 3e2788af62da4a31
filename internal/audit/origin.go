// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// RequestAnnotation is under which our webhooks tell kube-apiserver's own audit log the id that
// our events have of a request (iam.Event.RequestID). The API server puts the webhook's name
// and a slash before it.
const RequestAnnotation = "request-id"

// MethodRecordOrigin tells where the request of an earlier event came from. No change of an
// entity raises it, and so Methods does not list it.
const MethodRecordOrigin = "RecordOrigin"

// maxUserAgent is how many bytes of a user agent are kept: the client chooses it, and may send
// as much as fits into a header.
const maxUserAgent = 512

// Origin gives the event that adds to an earlier one where its request came from. It lies in
// the same chain, and where the earlier one is read. There is none where nothing is to be
// added: the earlier one knows, or is such an event itself, or neither the address is one nor
// there is a user agent.
func Origin(of iam.Event, sourceIP, userAgent, id string, at time.Time) (event iam.Event, ok bool) {
	if of.Origin != nil || of.SourceIP != iam.Unknown || of.UserAgent != iam.Unknown {
		return iam.Event{}, false
	}
	sourceIP, userAgent = address(sourceIP), orUnknown(shortened(userAgent, maxUserAgent))
	if sourceIP == iam.Unknown && userAgent == iam.Unknown {
		return iam.Event{}, false
	}
	return iam.Event{
		ID: id, RecordedAt: at.UTC(),
		Organization: of.Organization, Namespace: of.Namespace, NamespaceUID: of.NamespaceUID, ProjectID: of.ProjectID,
		Principal: System().Actor, SourceIP: iam.Unknown, UserAgent: iam.Unknown,
		Product: of.Product, Service: of.Service, Method: MethodRecordOrigin, Action: iam.ActionUpdated,
		StatusCode: http.StatusOK, Resources: []iam.EventResource{},
		Origin: &iam.EventOrigin{EventID: of.ID, EventSequence: of.Sequence, SourceIP: sourceIP, UserAgent: userAgent},
	}, true
}

// address gives an address in its one usual form. It leaves out the zone, which may be any text.
func address(text string) string {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return iam.Unknown
	}
	return ip.Unmap().WithZone("").String()
}
