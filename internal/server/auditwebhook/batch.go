// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/iam-operator/iam-operator/internal/audit"
)

const ourGroup = "iam-operator.dev"

// How kube-apiserver says what its authorizer decided.
const (
	decisionAnnotation = "authorization.k8s.io/decision"
	decisionForbid     = "forbid"
)

var (
	// ourWebhooks name a request in the API server's audit log.
	ourWebhooks = []string{"guard.iam-operator.dev", "deletion.iam-operator.dev"}

	ourResources = set("apikeys", "applications", "groups", "members", "organizations", "permissionsets", "policies", "projects", "sshkeys")
	writingVerbs = set("create", "update", "patch", "delete", "deletecollection")
)

func set(names ...string) map[string]struct{} {
	all := map[string]struct{}{}
	for _, name := range names {
		all[name] = struct{}{}
	}
	return all
}

// decode reads a batch.
func decode(body []byte) ([]auditv1.Event, error) {
	var batch auditv1.EventList
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, fmt.Errorf("the body is no JSON of audit.k8s.io/v1, kind EventList: %w", err)
	}
	if want := auditv1.SchemeGroupVersion.String(); batch.APIVersion != want || batch.Kind != "EventList" {
		return nil, fmt.Errorf("the body is %q of %q; this takes an EventList of %s", batch.Kind, batch.APIVersion, want)
	}
	return batch.Items, nil
}

// ours says whether an event is the end of a request that would change one of our objects.
func ours(event *auditv1.Event) bool {
	if event.Stage != auditv1.StageResponseComplete || event.ObjectRef == nil || event.ObjectRef.APIGroup != ourGroup || event.ObjectRef.Subresource != "" {
		return false
	}
	_, resource := ourResources[event.ObjectRef.Resource]
	_, verb := writingVerbs[event.Verb]
	return resource && verb
}

// requestOf gives the id under which our events know a request; empty where our webhooks did
// not see it.
func requestOf(event *auditv1.Event) string {
	for _, webhook := range ourWebhooks {
		if id := event.Annotations[webhook+"/"+audit.RequestAnnotation]; id != "" {
			return id
		}
	}
	return ""
}

// isForbidden says whether the API server's authorizer refused a request. Others answer 403 as
// well, such as somebody else's admission webhook: then the decision was to allow it.
func isForbidden(event *auditv1.Event) bool {
	return event.ResponseStatus != nil && event.ResponseStatus.Code == http.StatusForbidden && event.Annotations[decisionAnnotation] == decisionForbid
}

// sightingOf gives what is known of a request. The user is whom our webhooks were told: the
// impersonated one, where there is one. The address and the agent are those of whoever called.
func sightingOf(event *auditv1.Event, requestID string, proxies []netip.Prefix) sighting {
	user := event.User.Username
	if event.ImpersonatedUser != nil {
		user = event.ImpersonatedUser.Username
	}
	return sighting{requestID: requestID, user: user, sourceIP: source(event.SourceIPs, proxies), userAgent: event.UserAgent}
}

// source gives the address that a request came from. The list begins with what the headers
// say, which any client may set as it likes, and ends with who is connected to the API server.
// So it is the last one that is not a proxy which is trusted to tell the truth of the one
// before; and the first, where all are such proxies.
func source(addresses []string, proxies []netip.Prefix) string {
	for i, text := range slices.Backward(addresses) {
		ip, err := netip.ParseAddr(text)
		trusted := err == nil && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
		if !trusted || i == 0 {
			return text
		}
	}
	return ""
}
