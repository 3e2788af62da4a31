// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const crdFolder = "../../config/crd/bases"

// crds gives the nine CRDs by kind.
func crds(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdFolder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatal(err)
		}
		all[crd.Spec.Names.Kind] = crd
	}
	if len(all) != len(tables) {
		t.Fatalf("there are %d CRDs and %d tables of rules", len(all), len(tables))
	}
	return all
}

func schemaOf(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// visit calls do with each field of the schema and its path, such as spec.rules[].scope; the root's is empty. What is
// below a field for which do returns false is left out, and so is what Kubernetes itself defines.
func visit(path string, s *apiextensionsv1.JSONSchemaProps, do func(path string, s *apiextensionsv1.JSONSchemaProps) bool) {
	if !do(path, s) {
		return
	}
	for name, property := range s.Properties {
		if path == "" && slices.Contains([]string{"apiVersion", "kind", "metadata"}, name) {
			continue
		}
		visit(child(path, name), &property, do)
	}
	if s.Items != nil {
		visit(path+"[]", s.Items.Schema, do)
	}
	if s.AdditionalProperties != nil {
		visit(path+"{}", s.AdditionalProperties.Schema, do)
	}
}

func child(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// Types of Kubernetes itself, whose rules are not ours to test.
var fromKubernetes = []string{
	"spec.allowedNamespaces.selector", // metav1.LabelSelector
	"status.conditions[]",             // metav1.Condition
}

func TestEveryRuleIsTested(t *testing.T) {
	all := crds(t)
	for _, tab := range tables {
		t.Run(tab.kind, func(t *testing.T) {
			rules := rulesOf(schemaOf(all[tab.kind]))
			tested := make([]bool, len(rules))
			for _, r := range tab.rows {
				for _, want := range r.want {
					i, matches := find(rules, parseWant(want))
					if matches != 1 {
						t.Errorf("row %q wants %q, which %d rules say; want one", r.name, want, matches)
						continue
					}
					tested[i] = true
				}
			}
			for i, rule := range rules {
				if !tested[i] {
					t.Errorf("no row breaks the rule %s: %s", rule.field, rule.words)
				}
			}
		})
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

func find(rules []cause, want cause) (last, matches int) {
	field := index.ReplaceAllString(want.field, "[]")
	for i, rule := range rules {
		if rule.field == field && strings.Contains(rule.words, want.words) {
			last = i
			matches++
		}
	}
	return last, matches
}

// rulesOf lists all that the API server can refuse an object for, each as the cause that it gives.
func rulesOf(root *apiextensionsv1.JSONSchemaProps) []cause {
	var rules []cause
	visit("", root, func(path string, s *apiextensionsv1.JSONSchemaProps) bool {
		if slices.Contains(fromKubernetes, path) {
			return false
		}
		for _, name := range s.Required {
			rules = append(rules, cause{child(path, name), "Required value"})
		}
		if path == "" {
			path = "<nil>"
		}
		for _, words := range slices.Concat(textRules(s), listRules(s), numberRules(s)) {
			rules = append(rules, cause{path, words})
		}
		if s.Items != nil && s.XListType != nil && *s.XListType != "atomic" {
			rules = append(rules, cause{path + "[]", "Duplicate value"})
		}
		for _, rule := range s.XValidations {
			rules = append(rules, cause{path + rule.FieldPath, rule.Message})
		}
		return true
	})
	return rules
}

func textRules(s *apiextensionsv1.JSONSchemaProps) []string {
	var rules []string
	if s.MaxLength != nil {
		rules = append(rules, fmt.Sprintf("may not be more than %d bytes", *s.MaxLength))
	}
	if s.MinLength != nil {
		rules = append(rules, fmt.Sprintf("should be at least %d chars long", *s.MinLength))
	}
	if s.Pattern != "" {
		rules = append(rules, fmt.Sprintf("should match '%s'", s.Pattern))
	}
	if s.Enum != nil {
		rules = append(rules, "supported values")
	}
	if s.Type == "string" && s.Format != "" {
		rules = append(rules, "must be of type "+s.Format)
	}
	return rules
}

func listRules(s *apiextensionsv1.JSONSchemaProps) []string {
	var rules []string
	for _, limit := range []*int64{s.MaxItems, s.MaxProperties} {
		if limit != nil {
			rules = append(rules, fmt.Sprintf("must have at most %d items", *limit))
		}
	}
	if s.MinItems != nil {
		rules = append(rules, fmt.Sprintf("should have at least %d items", *s.MinItems))
	}
	return rules
}

func numberRules(s *apiextensionsv1.JSONSchemaProps) []string {
	var rules []string
	if s.Minimum != nil {
		rules = append(rules, fmt.Sprintf("should be greater than or equal to %v", *s.Minimum))
	}
	if s.Maximum != nil {
		rules = append(rules, fmt.Sprintf("should be less than or equal to %v", *s.Maximum))
	}
	return rules
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for kind, crd := range crds(t) {
		visit("", schemaOf(crd), func(path string, s *apiextensionsv1.JSONSchemaProps) bool {
			// An item that is a plain string or reference is described by its list.
			if s.Description == "" && !strings.HasSuffix(path, "[]") && !strings.HasSuffix(path, "{}") {
				t.Errorf("%s: %q has no description", kind, path)
			}
			return true
		})
	}
}

// What bounds the size of these is the size of an object.
var unbounded = map[string]string{
	"spec.allowedNamespaces.selector":   "metav1.LabelSelector comes without bounds",
	"spec.secretTemplate.labels{}":      "a rule on the map bounds the values",
	"spec.secretTemplate.annotations{}": "a rule on the map bounds the values",
}

func TestEverythingIsBounded(t *testing.T) {
	for kind, crd := range crds(t) {
		visit("", schemaOf(crd), func(path string, s *apiextensionsv1.JSONSchemaProps) bool {
			if _, ok := unbounded[path]; ok {
				return false
			}
			switch {
			case s.Type == "string" && s.MaxLength == nil && s.Enum == nil && s.Format == "":
				t.Errorf("%s: the string %s has no maxLength, enum or format", kind, path)
			case s.Type == "array" && s.MaxItems == nil:
				t.Errorf("%s: the list %s has no maxItems", kind, path)
			case s.AdditionalProperties != nil && s.MaxProperties == nil:
				t.Errorf("%s: the map %s has no maxProperties", kind, path)
			case s.Type == "object" && s.Properties == nil && s.AdditionalProperties == nil, s.XPreserveUnknownFields != nil:
				t.Errorf("%s: %q takes anything", kind, path)
			}
			return true
		})
	}
}

// No defaults inside list items: they leave objects of GitOps tools out of sync for ever. The one default is the
// status at birth, by which kstatus tells an object that nobody has looked at.
func TestTheOnlyDefaultIsTheStatusAtBirth(t *testing.T) {
	for kind, crd := range crds(t) {
		visit("", schemaOf(crd), func(path string, s *apiextensionsv1.JSONSchemaProps) bool {
			if got := s.Default; (got != nil) != (path == "status") {
				t.Errorf("%s: %q has the default %v", kind, path, got)
			} else if got != nil && string(got.Raw) != `{"observedGeneration":-1}` {
				t.Errorf("%s: the status begins as %s", kind, got.Raw)
			}
			return true
		})
	}
}

func TestListMapKeysAreRequired(t *testing.T) {
	for kind, crd := range crds(t) {
		visit("", schemaOf(crd), func(path string, s *apiextensionsv1.JSONSchemaProps) bool {
			if s.Type == "array" && s.XListType == nil && !strings.HasPrefix(path, "spec.allowedNamespaces.selector") {
				t.Errorf("%s: %s does not say how server-side apply merges it", kind, path)
			}
			for _, key := range s.XListMapKeys {
				if !slices.Contains(s.Items.Schema.Required, key) {
					t.Errorf("%s: the key %s of %s is optional", kind, key, path)
				}
			}
			return true
		})
	}
}

func TestCRDsAreSmallEnoughForKubectlApply(t *testing.T) {
	const limit = 256 << 10 // of kubectl's last-applied-configuration annotation, and of all annotations together
	files, err := filepath.Glob(filepath.Join(crdFolder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() >= limit {
			t.Errorf("%s: %v, %d bytes; want less than %d", file, err, info.Size(), limit)
		}
	}
}

func TestNamesAndColumns(t *testing.T) {
	shortNames := map[string]string{
		"Organization": "iamorg", "Project": "iamproj", "Member": "iammbr", "Group": "iamgrp", "Application": "iamapp",
		"APIKey": "iamkey", "Policy": "iampol", "PermissionSet": "iampset", "SSHKey": "iamssh",
	}
	for kind, crd := range crds(t) {
		names, version := crd.Spec.Names, crd.Spec.Versions[0]
		if want := []string{shortNames[kind]}; !slices.Equal(names.ShortNames, want) {
			t.Errorf("%s has the short names %v, want %v", kind, names.ShortNames, want)
		}
		if want := []string{"iam"}; !slices.Equal(names.Categories, want) {
			t.Errorf("%s has the categories %v, want %v", kind, names.Categories, want)
		}
		if scoped := crd.Spec.Scope == apiextensionsv1.ClusterScoped; scoped != (kind == "PermissionSet") {
			t.Errorf("%s has the scope %s", kind, crd.Spec.Scope)
		}
		if len(crd.Spec.Versions) != 1 || version.Name != "v1alpha1" || version.Subresources == nil || version.Subresources.Status == nil {
			t.Errorf("%s is not of the one version v1alpha1 with a status subresource", kind)
		}
		if n := len(version.SelectableFields); n == 0 || n > 8 {
			t.Errorf("%s has %d selectable fields, want 1 to 8", kind, n)
		}
		columns := version.AdditionalPrinterColumns
		var shown []string
		for _, c := range columns {
			shown = append(shown, c.Name)
		}
		if n := len(shown); n < 6 || n > 7 || !slices.Equal(shown[:2], []string{"Ready", "Reason"}) || !slices.Equal(shown[n-2:], []string{"Age", "ID"}) {
			t.Errorf("%s has the columns %v, want Ready, Reason, the two or three one looks for, Age, ID", kind, shown)
		}
		if columns[len(columns)-1].Priority != 1 {
			t.Errorf("%s shows its ID without -o wide", kind)
		}
	}
}
