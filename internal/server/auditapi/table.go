// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "When", Type: "string", Description: "When it was recorded, in UTC."},
	{Name: "Who", Type: "string", Description: "Kind and name of the principal."},
	{Name: "Method", Type: "string", Description: "What was done, by its name in IAM."},
	{Name: "Resource", Type: "string", Description: "Type and name of what it was done to."},
	{Name: "Result", Type: "integer", Description: "What was answered, as in HTTP."},
	{Name: "From", Type: "string", Priority: 1, Description: "The address that the request came from."},
	{Name: "Agent", Type: "string", Priority: 1, Description: "The program that made the request, by its own account."},
	{Name: "Kubernetes user", Type: "string", Priority: 1, Description: "The name under which the API server knows who asked."},
	{Name: "Revision", Type: "string", Priority: 1, Description: "The store's revision at which the change counts."},
	{Name: "Name", Type: "string", Format: "name", Priority: 1, Description: "The event's own id."},
}

// ConvertToTable gives the rows that kubectl prints.
func (s *events) ConvertToTable(_ context.Context, obj runtime.Object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || o == nil || !o.NoHeaders {
		table.ColumnDefinitions = columns
	}
	switch o := obj.(type) {
	case *auditv1alpha1.AuditEvent:
		table.ResourceVersion = o.ResourceVersion
		table.Rows = []metav1.TableRow{row(o)}
	case *auditv1alpha1.AuditEventList:
		table.ResourceVersion, table.Continue = o.ResourceVersion, o.Continue
		table.Rows = make([]metav1.TableRow, 0, len(o.Items))
		for i := range o.Items {
			table.Rows = append(table.Rows, row(&o.Items[i]))
		}
	default:
		return nil, fmt.Errorf("a %T is no audit event", obj)
	}
	return table, nil
}

func row(e *auditv1alpha1.AuditEvent) metav1.TableRow {
	return metav1.TableRow{
		Object: runtime.RawExtension{Object: e},
		Cells: []any{
			e.CreationTimestamp.UTC().Format("2006-01-02T15:04:05Z"),
			strings.TrimSpace(string(e.Principal.Kind) + " " + e.Principal.Name), e.Method, what(e.Resources), int64(e.StatusCode),
			e.SourceIP, e.UserAgent, e.KubernetesUser, e.Revision, e.Name,
		},
	}
}

// what names the first resource, and how many there are besides.
func what(resources []auditv1alpha1.AffectedResource) string {
	if len(resources) == 0 {
		return ""
	}
	first := strings.TrimSpace(resources[0].Type + " " + resources[0].Name)
	if more := len(resources) - 1; more > 0 {
		return fmt.Sprintf("%s (+%d)", first, more)
	}
	return first
}

type tableKey struct{}

// markTables lets the storage see that somebody asks for a table, as kubectl get does: what a
// person looks at is kept short.
func markTables(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, accept := range r.Header.Values("Accept") {
			if strings.Contains(accept, "as=Table") {
				r = r.WithContext(context.WithValue(r.Context(), tableKey{}, true))
				break
			}
		}
		handler.ServeHTTP(w, r)
	})
}

func wantsTable(ctx context.Context) bool {
	wants, _ := ctx.Value(tableKey{}).(bool)
	return wants
}
