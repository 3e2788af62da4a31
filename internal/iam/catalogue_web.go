// SPDX-License-Identifier: Apache-2.0

package iam

// webSections are domains, web hosting and e-mail.
var webSections = []section{
	{ScopeProjects, []string{CategoryDomainsAndWeb}, []row{
		{"DomainsDNSFullAccess", "Do everything with domains and DNS zones.", "domains_dns:*:*"},
		{"DomainsDNSReadOnly", "See domains and DNS zones.", "domains_dns:*:read,list"},
		{"WebHostingFullAccess", "Do everything with web hosting plans.", "web_hosting:*:*"},
		{"WebHostingReadOnly", "See web hosting plans.", "web_hosting:*:read,list"},
		{"TransactionalEmailFullAccess", "Do everything with Transactional Email.", "transactional_email:*:*"},
		{"TransactionalEmailReadOnly", "See everything of Transactional Email.", "transactional_email:*:read,list"},
		{"TransactionalEmailBlocklistFullAccess", "Do everything with blocklists.", "transactional_email:blocklist:*"},
		{"TransactionalEmailBlocklistReadOnly", "See blocklists.", "transactional_email:blocklist:read,list"},
		{"TransactionalEmailDomainFullAccess", "Do everything with sending domains, but not with e-mails.", "transactional_email:domain:*"},
		{"TransactionalEmailDomainReadOnly", "See sending domains, but not e-mails.", "transactional_email:domain:read,list"},
		{"TransactionalEmailEmailFullAccess", "Send, see and cancel e-mails, but not set up domains.", "transactional_email:email:*"},
		{"TransactionalEmailEmailReadOnly", "See e-mails that were sent.", "transactional_email:email:read,list"},
		{"TransactionalEmailEmailSmtpCreate", "Send e-mails by SMTP.", "transactional_email:email:smtp_create"},
		{"TransactionalEmailEmailApiCreate", "Send e-mails by the API.", "transactional_email:email:api_create"},
		{"TransactionalEmailWebhookFullAccess", "Do everything with webhooks.", "transactional_email:webhook:*"},
		{"TransactionalEmailWebhookReadOnly", "See webhooks.", "transactional_email:webhook:read,list"},
		{"TransactionalEmailProjectSettingsFullAccess", "See and change the settings of a project.", "transactional_email:project_settings:*"},
		{"TransactionalEmailProjectSettingsReadOnly", "See the settings of a project.", "transactional_email:project_settings:read,list"},
		{"TransactionalEmailOfferSubscriptionFullAccess", "See and change what a project has subscribed to.", "transactional_email:offer_subscription:*"},
		{"TransactionalEmailOfferSubscriptionReadOnly", "See what a project has subscribed to.", "transactional_email:offer_subscription:read,list"},
		{"TransactionalEmailPoolReadOnly", "See the pool of sending addresses of a project.", "transactional_email:pool:read,list"},
		{"MailboxFullAccess", "Do everything with mailboxes.", "mailbox:*:*"},
		{"MailboxReadOnly", "See mailboxes.", "mailbox:*:read,list"},
	}},
}
