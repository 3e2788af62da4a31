// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// plainWord is what can be shown, and pasted into a shell, as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// Refusal says which rights the requester lacks: each verb, object and namespace, what it is for, and how to ask for it.
func Refusal(user string, missing []Need) string {
	var clauses []string
	for _, class := range distinct(missing, Need.forAll) {
		clauses = append(clauses, clause(class, missing))
	}
	sentence := fmt.Sprintf("%s may not give this away: it takes %s", quoted(user), strings.Join(clauses, "; "))
	if command := canI(missing); command != "" {
		sentence += ". To see whether you have the right: " + command
	}
	return sentence
}

// clause names what is missing of one verb, resource and namespace.
func clause(class Need, missing []Need) string {
	var objects []string
	what := ""
	for _, need := range missing {
		if need.forAll() != class {
			continue
		}
		if what == "" {
			what = need.For
		}
		objects = append(objects, need.object())
	}
	text := class.Verb + " on " + enumerate(objects)
	if class.Namespace != "" {
		text += " in namespace " + class.Namespace
	}
	if what != "" {
		text += " (" + what + ")"
	}
	return text
}

// String is the right in words, such as "bind projects.iam-operator.dev/web in namespace shop".
func (n Need) String() string {
	text := n.Verb + " " + n.object()
	if n.Namespace != "" {
		text += " in namespace " + n.Namespace
	}
	return text
}

// object is how kubectl names it: resource.group/name.
func (n Need) object() string {
	text := n.Resource
	if n.Group != "" {
		text += "." + n.Group
	}
	if n.Name != "" {
		text += "/" + quoted(n.Name)
	}
	return text
}

// canI is the command by which somebody learns whether they have the first of the rights. A name of a user can be
// anything, and a command that is pasted must not be.
func canI(missing []Need) string {
	for _, need := range missing {
		if !plainWord.MatchString(need.object()) {
			continue
		}
		command := "kubectl auth can-i " + need.Verb + " " + need.object()
		if need.Namespace != "" {
			command += " -n " + need.Namespace
		}
		return command
	}
	return ""
}

// quoted puts a name into quotes where it could be taken for something else.
func quoted(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}

// more stands for those that are not named.
func more(others int) string {
	if others == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", others)
}

// enumerate joins words: a, b and c.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
