// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// masked stands in ContentByName for what differs from one cluster to the next.
const masked = "…"

// Content gives all that a store holds but history, one entity a line: equal contents are
// equal stores, whatever way they came there.
func Content(ctx context.Context, s store.Store) (string, error) {
	entities, _, err := s.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	return contentOf(entities)
}

func contentOf(entities []iam.Entity) (string, error) {
	lines := make([]string, len(entities))
	for i, entity := range entities {
		body, err := iam.Encode(entity)
		if err != nil {
			return "", err
		}
		lines[i] = fmt.Sprintf("%s %s %s\n", entity.EntityKind(), entity.GetHead().ID, body)
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// ContentByName gives what Content does with every id replaced by the object's kind,
// namespace and name, lists of names sorted, and masked what is drawn or counted anew in
// each cluster: object and namespace UIDs, rule ids, digests, and the times of creation,
// minting, passwords, grace periods and expiry. So it compares two clusters that were given the same objects.
func ContentByName(ctx context.Context, s store.Store) (string, error) {
	entities, _, err := s.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	names := namesOf(entities)
	lines := make([]string, len(entities))
	for i, entity := range entities {
		body, err := iam.Encode(entity)
		if err != nil {
			return "", err
		}
		var fields map[string]any
		if err := json.Unmarshal(body, &fields); err != nil {
			return "", fmt.Errorf("decode %s: %w", entity.EntityKind(), err)
		}
		text, err := json.Marshal(byName("", fields, names))
		if err != nil {
			return "", fmt.Errorf("encode %s: %w", entity.EntityKind(), err)
		}
		lines[i] = fmt.Sprintf("%s %s %s\n", entity.EntityKind(), names[entity.GetHead().ID], text)
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// namesOf names each id after its object. Where an object has several entities of a kind,
// as an API key in rotation has, they are numbered in order of creation.
func namesOf(entities []iam.Entity) map[string]string {
	sorted := slices.Clone(entities)
	slices.SortStableFunc(sorted, func(a, b iam.Entity) int {
		x, y := a.GetHead(), b.GetHead()
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), cmp.Compare(x.ID, y.ID))
	})
	names, taken := map[string]string{}, map[string]int{}
	for _, entity := range sorted {
		h := entity.GetHead()
		if h.ID == h.OrganizationID {
			// The default Project shares the Organization's id, and so its name.
			names[h.ID] = fmt.Sprintf("%s/%s/%s", iam.KindOrganization, h.Object.Namespace, h.Object.Name)
			continue
		}
		name := fmt.Sprintf("%s/%s/%s", h.Object.Kind, h.Object.Namespace, h.Object.Name)
		if kind := entity.EntityKind(); kind != h.Object.Kind {
			name += "#" + string(kind)
		}
		if taken[name]++; taken[name] > 1 {
			name += fmt.Sprintf("#%d", taken[name])
		}
		names[h.ID] = name
	}
	return names
}

// byName replaces ids in a decoded entity. The field says where the value stands.
func byName(field string, value any, names map[string]string) any {
	switch v := value.(type) {
	case string:
		return nameOf(field, v, names)
	case []any:
		texts := true
		for i := range v {
			v[i] = byName(field, v[i], names)
			_, isText := v[i].(string)
			texts = texts && isText
		}
		if texts {
			slices.SortFunc(v, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) })
		}
	case map[string]any:
		for name := range v {
			v[name] = byName(strings.TrimPrefix(field+"."+name, "."), v[name], names)
		}
	}
	return value
}

func nameOf(field, text string, names map[string]string) string {
	if name, ok := names[text]; ok {
		return name
	}
	switch field {
	case "createdAt", "expiresAt", "passwordUpdatedAt", "gracePeriods.startedAt", "gracePeriods.expiresAt",
		"digest", "digestKeyID", "object.uid", "namespaceUID", "rules.id":
		return masked
	}
	return text
}
