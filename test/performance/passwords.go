// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// memoryBar is the most that the operator may hold while it hashes many passwords at once, in bytes.
const memoryBar = 300 << 20

// passwordsNamespace has the Members.
const passwordsNamespace = "passwords"

// passwordsReport is what came of many passwords at once.
type passwordsReport struct {
	members           int
	declared, inForce time.Duration
	// idle and peak are the operator's resident memory before the first Member, and at most, in bytes.
	idle, peak int64
}

// measurePasswords gives many Members a password each at once, and waits until all are in force.
func measurePasswords(ctx context.Context, b *bench, members int) (report, error) {
	if err := b.found(ctx, passwordsNamespace); err != nil {
		return nil, err
	}
	found := &passwordsReport{members: members}
	var err error
	if found.idle, err = memory(b.operator.PID, "VmRSS"); err != nil {
		return nil, err
	}
	say("Creating %d Members with a password each", members)
	start := time.Now()
	err = parallel(ctx, members, func(ctx context.Context, i int) error { return b.createMember(ctx, fmt.Sprintf("member-%d", i)) })
	if err != nil {
		return nil, err
	}
	found.declared = time.Since(start)
	err = b.await(ctx, "all passwords are in force", time.Second, func(ctx context.Context) (bool, string, error) {
		valid, example, err := b.valid(ctx)
		return valid == members, fmt.Sprintf("%d of %d are; for example %s", valid, members, example), err
	})
	if err != nil {
		return nil, err
	}
	found.inForce = time.Since(start)
	// The kernel keeps the peak: no sample could miss it.
	found.peak, err = memory(b.operator.PID, "VmHWM")
	return found, err
}

// createMember declares a Member, with a password that nobody could guess and nobody else has.
func (b *bench) createMember(ctx context.Context, name string) error {
	const key = "password"
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: passwordsNamespace, Name: name + "-password", Labels: map[string]string{v1alpha1.WatchLabel: "true"}},
		Type:       v1alpha1.PasswordSecretType,
		StringData: map[string]string{key: rand.Text()},
	}
	if err := b.client.Create(ctx, secret); err != nil {
		return err
	}
	return b.client.Create(ctx, &v1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Namespace: passwordsNamespace, Name: name},
		Spec: v1alpha1.MemberSpec{
			OrganizationRef: v1alpha1.OrganizationRef{Name: acme}, Username: name, Email: v1alpha1.Email(name + "@acme.example"),
			Password: &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: v1alpha1.ObjectName(secret.Name), Key: key}},
		},
	})
}

// valid counts the Members that are Ready with their password in force, and gives what one of the others says.
func (b *bench) valid(ctx context.Context) (int, string, error) {
	var list v1alpha1.MemberList
	if err := b.client.List(ctx, &list, client.InNamespace(passwordsNamespace)); err != nil {
		return 0, "", err
	}
	valid, example := 0, "none is there"
	for i := range list.Items {
		member := &list.Items[i]
		if readyReason(member) == v1alpha1.ReasonApplied && meta.IsStatusConditionTrue(member.Status.Conditions, v1alpha1.ConditionCredentialsValid) {
			valid++
			continue
		}
		example = fmt.Sprintf("%s says %+v", member.Name, member.Status.Conditions)
	}
	return valid, example, nil
}

// memory reads one of the kernel's counts of a process's memory, in bytes.
func memory(pid int, count string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("the operator's memory is read as Linux tells it: %w", err)
	}
	for line := range bytes.Lines(text) {
		value, found := bytes.CutPrefix(line, []byte(count+":"))
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		return kilobytes << 10, err
	}
	return 0, fmt.Errorf("%s has no %s", path, count)
}

func (r *passwordsReport) print(out io.Writer) {
	fmt.Fprintf(out, "%d Members with a password each: all declared after %s, all Ready with their passwords in force after %s\n",
		r.members, r.declared.Round(100*time.Millisecond), r.inForce.Round(100*time.Millisecond))
	fmt.Fprintf(out, "the operator's resident memory: %d MiB before, %d MiB at most\n", r.idle>>20, r.peak>>20)
	fmt.Fprintf(out, "\nbar: at most %d MiB\n", memoryBar>>20)
}

func (r *passwordsReport) missed() error {
	if r.peak <= memoryBar {
		return nil
	}
	return fmt.Errorf("the bar is missed: the operator held %d MiB at most, and may hold %d MiB", r.peak>>20, memoryBar>>20)
}
