// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"fmt"
	"os"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// The client's own limit would be what a test measures; the API server has its own fairness.
	clientQPS, clientBurst = 1000, 2000
	// tokenLifetime outlasts any test or demo, since nobody renews a token that is in a rest.Config.
	tokenLifetime = 24 * 60 * 60 // seconds
)

// Config returns a copy of the admin's configuration. The admin is a member of system:masters, whom RBAC does not limit.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubectl returns the path of a kubectl of the API server's version.
func (c *Cluster) Kubectl() string { return c.assets.path("kubectl") }

// UserConfig returns the configuration of a user with a client certificate for this name and these groups. The user may
// do what RBAC grants; the API server adds the group system:authenticated.
func (c *Cluster) UserConfig(name string, groups ...string) (*rest.Config, error) {
	user, err := c.plane.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: clientQPS, Burst: clientBurst})
	if err != nil {
		return nil, fmt.Errorf("no certificate for user %q can be made: %w", name, err)
	}
	return user.Config(), nil
}

// ServiceAccountConfig returns the configuration of an existing ServiceAccount, with a token by TokenRequest that is
// valid for 24 hours. The ServiceAccount may do what RBAC grants.
func (c *Cluster) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("no client for the cluster can be made: %w", err)
	}
	seconds := int64(tokenLifetime)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("no token for ServiceAccount %s/%s can be had: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Status.Token
	config.QPS, config.Burst = clientQPS, clientBurst
	return config, nil
}

// Kubeconfig returns the file that gives kubectl the access of config, which is one of this package's: with a client
// certificate or a token.
func Kubeconfig(config *rest.Config) ([]byte, error) {
	const name = "iam-operator-local"
	k := clientcmdapi.NewConfig()
	k.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	k.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
	}
	k.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	k.CurrentContext = name
	text, err := clientcmd.Write(*k)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be written: %w", err)
	}
	return text, nil
}

// WriteKubeconfig writes the admin's kubeconfig to path, readable by its owner alone.
func (c *Cluster) WriteKubeconfig(path string) error {
	text, err := Kubeconfig(c.config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("the kubeconfig cannot be written: %w", err)
	}
	return nil
}
