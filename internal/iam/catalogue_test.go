// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The documented permission sets, by scope type, expanded by hand from Annex A of the specification and kept apart from
// the tables, so that a name lost or mistyped there shows.
const annexAOrganization = `
	ProjectManager ProjectReadOnly
	IAMManager IAMReadOnly IAMApplicationManager IAMApplicationReadOnly IAMUserManager IAMUserReadOnly
	IAMGroupManager IAMGroupReadOnly IAMPolicyManager IAMPolicyReadOnly
	BillingManager BillingReadOnly
	OrganizationManager OrganizationReadOnly
	SupportTicketManager SupportTicketReadOnly AbuseTicketManager
	AuditTrailReadOnly AuditTrailExportRead AuditTrailExportDelete AuditTrailFullAccess
	EnvironmentalImpactReadOnly
	NotificationManagerFullAccess NotificationManagerReadOnly`

const annexAProjects = `
	AllProductsFullAccess AllProductsReadOnly
	AutoscalingFullAccess AutoscalingReadOnly
	InstancesFullAccess InstancesReadOnly
	InstancesImageCreate InstancesImageDelete InstancesImageRead InstancesImageWrite
	InstancesIpCreate InstancesIpDelete InstancesIpRead InstancesIpWrite
	InstancesPlacementGroupCreate InstancesPlacementGroupDelete InstancesPlacementGroupList InstancesPlacementGroupRead
	InstancesPlacementGroupWrite
	InstancesPrivateNetworkInterfaceCreate InstancesPrivateNetworkInterfaceDelete InstancesPrivateNetworkInterfaceList
	InstancesPrivateNetworkInterfaceRead InstancesPrivateNetworkInterfaceWrite
	InstancesPrivateNicCreate InstancesPrivateNicDelete InstancesPrivateNicRead InstancesPrivateNicWrite
	InstancesSecurityGroupCreate InstancesSecurityGroupDelete InstancesSecurityGroupList InstancesSecurityGroupRead
	InstancesSecurityGroupWrite
	InstancesServerCreate InstancesServerDelete InstancesServerList InstancesServerRead InstancesServerSerialConsoleAccess
	InstancesServerStart InstancesServerStop InstancesServerWrite
	InstancesSnapshotCreate InstancesSnapshotDelete InstancesSnapshotList InstancesSnapshotRead InstancesSnapshotWrite
	InstancesVolumeCreate InstancesVolumeDelete InstancesVolumeList InstancesVolumeRead InstancesVolumeWrite
	SSHKeysFullAccess SSHKeysReadOnly

	ElasticMetalFullAccess ElasticMetalReadOnly AppleSiliconFullAccess AppleSiliconReadOnly
	DediboxFullAccess DediboxReadOnly DediboxConsoleFullAccess

	ObjectStorageFullAccess ObjectStorageReadOnly
	ObjectStorageObjectsRead ObjectStorageObjectsWrite ObjectStorageObjectsDelete
	ObjectStorageBucketsRead ObjectStorageBucketsWrite ObjectStorageBucketsDelete ObjectStorageBucketPolicyFullAccess
	BlockStorageFullAccess BlockStorageReadOnly FileStorageFullAccess FileStorageReadOnly
	ContainerRegistryFullAccess ContainerRegistryReadOnly

	PrivateNetworksFullAccess PrivateNetworksReadOnly VPCFullAccess VPCReadOnly IPAMFullAccess IPAMReadOnly
	VPCGatewayFullAccess VPCGatewayReadOnly InterlinkFullAccess InterlinkReadOnly
	InterlinkPartnerFullAccess InterlinkPartnerReadOnly SiteToSiteVPNFullAccess SiteToSiteVPNReadOnly
	LoadBalancersFullAccess LoadBalancersReadOnly EdgeServicesFullAccess EdgeServicesReadOnly

	KubernetesFullAccess KubernetesReadOnly KubernetesExternalNodeRegister KubernetesSystemMastersGroupAccess

	FunctionsFullAccess FunctionsReadOnly FunctionsPrivateAccess
	ContainersFullAccess ContainersReadOnly ContainersPrivateAccess
	ServerlessJobsFullAccess ServerlessJobsReadOnly

	RelationalDatabasesFullAccess RelationalDatabasesReadOnly
	ServerlessSQLDatabaseFullAccess ServerlessSQLDatabaseReadOnly ServerlessSQLDatabaseReadWrite
	ServerlessSQLDatabaseDataReadWrite
	RedisFullAccess RedisReadOnly MongoDBFullAccess MongoDBReadOnly SearchDBFullAccess SearchDBReadOnly

	GenerativeApisFullAccess GenerativeApisModelAccess InferenceFullAccess InferenceReadOnly

	DistributedDataLabFullAccess DistributedDataLabReadOnly DataWarehouseFullAccess DataWarehouseReadOnly
	KafkaClusterFullAccess KafkaClusterReadOnly

	MessagingAndQueuingFullAccess MessagingAndQueuingReadOnly IoTFullAccess IoTReadOnly

	DomainsDNSFullAccess DomainsDNSReadOnly WebHostingFullAccess WebHostingReadOnly
	TransactionalEmailFullAccess TransactionalEmailReadOnly
	TransactionalEmailBlocklistFullAccess TransactionalEmailBlocklistReadOnly
	TransactionalEmailDomainFullAccess TransactionalEmailDomainReadOnly
	TransactionalEmailEmailFullAccess TransactionalEmailEmailReadOnly
	TransactionalEmailWebhookFullAccess TransactionalEmailWebhookReadOnly
	TransactionalEmailProjectSettingsFullAccess TransactionalEmailProjectSettingsReadOnly
	TransactionalEmailEmailSmtpCreate TransactionalEmailEmailApiCreate
	TransactionalEmailOfferSubscriptionFullAccess TransactionalEmailOfferSubscriptionReadOnly
	TransactionalEmailPoolReadOnly
	MailboxFullAccess MailboxReadOnly

	ObservabilityFullAccess ObservabilityReadOnly ObservabilityGrafanaEditor

	SecretManagerFullAccess SecretManagerReadOnly SecretManagerSecretAccess SecretManagerSecretCreate
	SecretManagerSecretDelete SecretManagerSecretWrite SecretManagerSecretRestore
	KeyManagerFullAccess KeyManagerReadOnly KeyManagerKeyCreate KeyManagerKeyDecrypt KeyManagerKeyDelete
	KeyManagerKeyEncrypt KeyManagerKeyRestore KeyManagerKeySign KeyManagerKeyVerify KeyManagerKeyWrite

	QaaSFullAccess QaaSReadOnly`

// ourOwn are built-in sets that Scaleway does not document, with the reason for each.
var ourOwn = map[string]string{
	"IAMPermissionChecker": "who asks the decision engine about others needs a permission, and no documented set has one",
}

// alike are pairs of sets, "A = B" in the order of their names, that grant the same, with the reason for each. None so far.
var alike = map[string]string{}

// vocabulary is what built-in sets may name as an action. A new word needs a reason; most methods do with the first line.
const vocabulary = `* read list create write delete
	access api_create check decrypt encrypt register restore serial_console_access set_alias sign smtp_create start stop verify`

func TestCatalogueHoldsTheDocumentedSets(t *testing.T) {
	want := map[string]ScopeType{}
	for _, name := range strings.Fields(annexAOrganization) {
		want[name] = ScopeOrganization
	}
	for _, name := range strings.Fields(annexAProjects) {
		want[name] = ScopeProjects
	}
	if n := len(strings.Fields(annexAOrganization + annexAProjects)); n != len(want) {
		t.Fatalf("the list of this test names %d sets, %d of them different", n, len(want))
	}
	for _, set := range Catalogue() {
		scopeType, documented := want[set.Name]
		delete(want, set.Name) // so that the second of two is reported
		switch {
		case !documented && ourOwn[set.Name] == "":
			t.Errorf("%s is not documented, or there twice", set.Name)
		case documented && scopeType != set.ScopeType:
			t.Errorf("%s: scope type %s, want %s", set.Name, set.ScopeType, scopeType)
		}
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func TestCatalogueRowsAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,62}$`)
	seen := map[string]string{}
	for _, set := range Catalogue() {
		t.Run(set.Name, func(t *testing.T) {
			if !name.MatchString(set.Name) {
				t.Errorf("the name does not match %s", name)
			}
			// The object's name is the set's in lower case.
			if other, ok := seen[strings.ToLower(set.Name)]; ok {
				t.Errorf("the same name as %s but for case", other)
			}
			seen[strings.ToLower(set.Name)] = set.Name
			if n := utf8.RuneCountInString(set.Description); n == 0 || n > 200 {
				t.Errorf("the description has %d characters, want 1 to 200", n)
			}
			if !strings.HasSuffix(set.Description, ".") {
				t.Errorf("the description is not a sentence: %q", set.Description)
			}
			if len(set.Categories) == 0 || slices.Contains(set.Categories, "") {
				t.Errorf("categories: %q", set.Categories)
			}
			for _, problem := range ValidatePermissionSet(set.ScopeType, set.PermissionStrings()) {
				t.Error(problem)
			}
			for i, p := range set.Permissions {
				if !slices.Contains(strings.Fields(vocabulary), p.Action) {
					t.Errorf("%s: the action is not in the vocabulary", p)
				}
				for j, q := range set.Permissions {
					if i != j && q.Covers(p) {
						t.Errorf("%s is there already by %s", p, q)
					}
				}
			}
			if len(set.Permissions) == 0 {
				t.Error("no permission")
			}
		})
	}
}

// What a set grants is compared after expansion, so that `*:*:*` and `redis:*:*` are told apart from `*` alone.
func catalogueGrants(t *testing.T) map[string][]Permission {
	t.Helper()
	grants := map[string][]Permission{}
	for _, set := range Catalogue() {
		grants[set.Name] = ExpandPermissions(set.ScopeType, set.Permissions, nil)
	}
	return grants
}

// within reports whether all that small grants is granted by large.
func within(small, large []Permission) bool {
	for _, p := range small {
		if !slices.ContainsFunc(large, func(q Permission) bool { return q.Covers(p) }) {
			return false
		}
	}
	return true
}

func TestCatalogueReadOnlyIsWithinItsFullSet(t *testing.T) {
	grants, pairs := catalogueGrants(t), 0
	for name, readOnly := range grants {
		base, ok := strings.CutSuffix(name, "ReadOnly")
		if !ok {
			continue
		}
		for _, full := range []string{base + "FullAccess", base + "Manager"} {
			if grants[full] == nil {
				continue
			}
			pairs++
			if !within(readOnly, grants[full]) {
				t.Errorf("%s grants what %s does not", name, full)
			}
			if within(grants[full], readOnly) {
				t.Errorf("%s grants all that %s does", name, full)
			}
		}
	}
	if pairs < 50 {
		t.Errorf("only %d pairs found", pairs)
	}
}

func TestCatalogueReadOnlyChangesNothing(t *testing.T) {
	for _, set := range Catalogue() {
		if !strings.HasSuffix(set.Name, "ReadOnly") {
			continue
		}
		for _, p := range set.Permissions {
			// Asking what one may do oneself changes nothing either.
			if p.Action != "read" && p.Action != "list" && p.String() != "iam:self_permission:check" {
				t.Errorf("%s holds %s", set.Name, p)
			}
		}
	}
}

// What a set's name ends in is the action that it is about.
func TestCatalogueNamesAgreeWithTheirActions(t *testing.T) {
	actions := map[string][]string{
		"Create": {"create", "api_create", "smtp_create"}, "Write": {"write", "create"}, "ReadWrite": {"read", "list", "*"},
		"Delete": {"delete"}, "List": {"list"}, "Read": {"read", "list"}, "Restore": {"restore"}, "Register": {"register"},
		"Start": {"start"}, "Stop": {"stop"}, "Encrypt": {"encrypt"}, "Decrypt": {"decrypt"}, "Sign": {"sign"}, "Verify": {"verify"},
		"Access": {"access", "serial_console_access"}, "FullAccess": {"*"},
	}
	for _, set := range Catalogue() {
		word := ""
		for suffix := range actions {
			if strings.HasSuffix(set.Name, suffix) && len(suffix) > len(word) {
				word = suffix
			}
		}
		for _, p := range set.Permissions {
			if word != "" && !slices.Contains(actions[word], p.Action) {
				t.Errorf("%s holds %s, want one of the actions %v", set.Name, p, actions[word])
			}
		}
	}
}

func TestCatalogueFullAccessHoldsAllOfItsParts(t *testing.T) {
	grants := catalogueGrants(t)
	for full, all := range grants {
		base, ok := strings.CutSuffix(full, "FullAccess")
		if !ok {
			continue
		}
		for part, some := range grants {
			product := strings.HasPrefix(part, "InterlinkPartner") || strings.HasPrefix(part, "VPCGateway")
			if product && !strings.HasPrefix(base, "InterlinkPartner") && !strings.HasPrefix(base, "VPCGateway") {
				continue // products of their own, and no parts of Interlink and VPC
			}
			if strings.HasPrefix(part, base) && !within(some, all) {
				t.Errorf("%s grants what %s does not", part, full)
			}
		}
	}
}

func TestCatalogueAllProducts(t *testing.T) {
	grants := catalogueGrants(t)
	for _, set := range Catalogue() {
		product := set.ScopeType == ScopeProjects
		if got := within(grants[set.Name], grants["AllProductsFullAccess"]); got != product {
			t.Errorf("AllProductsFullAccess holds %s: got %t, want %t", set.Name, got, product)
		}
		if product && strings.HasSuffix(set.Name, "ReadOnly") && !within(grants[set.Name], grants["AllProductsReadOnly"]) {
			t.Errorf("AllProductsReadOnly does not hold %s", set.Name)
		}
	}
	for _, beyond := range []string{"secret_manager:secret_version:access", "k8s:secret:get", "iam:user:read"} {
		if slices.ContainsFunc(grants["AllProductsReadOnly"], func(p Permission) bool { return p.Covers(mustPermission(t, beyond)) }) {
			t.Errorf("AllProductsReadOnly grants %s", beyond)
		}
	}
}

func TestCatalogueIAMManagerHoldsIAMAndProjects(t *testing.T) {
	grants := catalogueGrants(t)
	for name := range grants {
		if (strings.HasPrefix(name, "IAM") || name == "ProjectManager" || name == "ProjectReadOnly") &&
			!within(grants[name], grants["IAMManager"]) {
			t.Errorf("IAMManager does not hold %s", name)
		}
	}
}

func TestCatalogueOrganizationManagerHoldsTheOrganizationAndNoProduct(t *testing.T) {
	grants := catalogueGrants(t)
	for _, name := range []string{
		"IAMManager", "ProjectManager", "BillingManager", "SupportTicketManager", "AbuseTicketManager",
		"OrganizationReadOnly", "AuditTrailReadOnly",
	} {
		if !within(grants[name], grants["OrganizationManager"]) {
			t.Errorf("OrganizationManager does not hold %s", name)
		}
	}
	for _, p := range grants["OrganizationManager"] {
		if !IsOrganizationPermission(p) {
			t.Errorf("OrganizationManager holds %s", p)
		}
	}
}

// No set of the Organization reaches into projects, not even by iam:*, which would take in iam:ssh_key.
func TestCatalogueOrganizationSetsHoldNoProduct(t *testing.T) {
	products := catalogueGrants(t)["AllProductsFullAccess"]
	for _, set := range Catalogue() {
		if set.ScopeType != ScopeOrganization {
			continue
		}
		for _, p := range set.Permissions {
			for _, q := range products {
				if p.Covers(q) || q.Covers(p) || p.Covers(mustPermission(t, "iam:ssh_key:read")) {
					t.Errorf("%s holds %s, which meets %s", set.Name, p, q)
				}
			}
		}
	}
}

func TestCatalogueSetsDiffer(t *testing.T) {
	grants := catalogueGrants(t)
	for a, fromA := range grants {
		for b, fromB := range grants {
			if a < b && within(fromA, fromB) && within(fromB, fromA) && alike[a+" = "+b] == "" {
				t.Errorf("%s and %s grant the same", a, b)
			}
		}
	}
}

func TestCatalogueProjectServices(t *testing.T) {
	services := ProjectServices()
	if !slices.IsSorted(services) || len(services) < 40 {
		t.Errorf("%d services: %v", len(services), services)
	}
	for _, service := range []string{"instances", "object_storage", "kubernetes", "secret_manager"} {
		if !slices.Contains(services, service) {
			t.Errorf("%s is missing", service)
		}
	}
	for _, service := range services {
		if IsOrganizationService(service) || service == "k8s" || service == "*" {
			t.Errorf("%s is no project-level service", service)
		}
	}
}

func TestCatalogueIsTheCallersOwn(t *testing.T) {
	sets := Catalogue()
	if !slices.IsSortedFunc(sets, func(a, b CatalogueSet) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name")
	}
	name := sets[0].Name
	sets[0].Name, sets[0].Categories[0], sets[0].Permissions[0] = "X", "X", Permission{"x", "x", "x"}
	ProjectServices()[0] = "x"
	if again := Catalogue()[0]; again.Name != name || again.Categories[0] == "X" || again.Permissions[0].Service == "x" {
		t.Error("changing the result of Catalogue changed the catalogue")
	}
	if ProjectServices()[0] == "x" {
		t.Error("changing the result of ProjectServices changed the catalogue")
	}
}
