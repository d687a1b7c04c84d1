# A cluster on Azure Kubernetes Service, free tier, in a resource group of its own: everything goes with the group.

terraform {
  required_version = ">= 1.8"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

variable "name" {
  description = "The instance: the name of the cluster and of its resource group."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,39}$", var.name))
    error_message = "A name has at most 40 lower-case letters, digits and hyphens, and starts with a letter."
  }
}

variable "subscription" {
  type = string
}

variable "tenant" {
  description = "The directory of the administrators in Microsoft Entra."
  type        = string
}

variable "location" {
  type = string
}

variable "registry" {
  description = "The registry's name, of which there is only one in all of Azure."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]{5,50}$", var.registry))
    error_message = "The name of a registry has 5 to 50 lower-case letters and digits."
  }
}

variable "tags" {
  description = "Owner and expiry, on everything."
  type        = map(string)
  default     = {}
}

variable "kubernetes" {
  description = "Kubernetes' minor version; AKS takes its newest patch."
  type        = string
  default     = "1.36"
}

variable "allowed_cidrs" {
  description = "The addresses from which the API server can be reached."
  type        = list(string)
  validation {
    condition     = length(var.allowed_cidrs) > 0 && alltrue([for it in var.allowed_cidrs : can(cidrhost(it, 0))])
    error_message = "At least one range of addresses is necessary, such as 192.0.2.7/32."
  }
}

variable "admins" {
  description = "The IDs of those in Microsoft Entra, users or groups, who administer the cluster."
  type        = list(string)
}

locals {
  tags = merge(var.tags, { "dev.pocdeploy-instance" = var.name })
}

provider "azurerm" {
  subscription_id = var.subscription
  features {}
}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
  tags     = local.tags
}

resource "azurerm_container_registry" "this" {
  name                = var.registry
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  sku                 = "Basic"
  admin_enabled       = false
  tags                = local.tags
}

resource "azurerm_kubernetes_cluster" "this" {
  name                      = var.name
  resource_group_name       = azurerm_resource_group.this.name
  location                  = azurerm_resource_group.this.location
  dns_prefix                = var.name
  kubernetes_version        = var.kubernetes
  sku_tier                  = "Free"
  automatic_upgrade_channel = "patch"
  # Without local accounts no kubeconfig with a key is in the state.
  local_account_disabled    = true
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  tags                      = local.tags
  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
    tenant_id          = var.tenant
  }
  api_server_access_profile {
    authorized_ip_ranges = var.allowed_cidrs
  }
  default_node_pool {
    name            = "default"
    node_count      = 1
    vm_size         = "Standard_D2as_v5"
    os_disk_type    = "Managed"
    os_disk_size_gb = 32
    tags            = local.tags
  }
  identity {
    type = "SystemAssigned"
  }
  # Cilium enforces the NetworkPolicies; without it they are accepted and ignored.
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
  }
  node_provisioning_profile {
    mode = "Manual"
  }
}

resource "azurerm_role_assignment" "pull" {
  scope                = azurerm_container_registry.this.id
  role_definition_name = "AcrPull"
  # AKS makes exactly one; a mocked cluster has none (opentofu#3062).
  principal_id = join("", azurerm_kubernetes_cluster.this.kubelet_identity[*].object_id)
}

resource "azurerm_role_assignment" "admin" {
  for_each             = toset(var.admins)
  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = each.value
}

# Address and certificate are public; the provider marks all of the kubeconfig as sensitive. Without local accounts no key is in it.
output "endpoint" {
  value = nonsensitive(join("", azurerm_kubernetes_cluster.this.kube_config[*].host))
}

output "ca" {
  value = nonsensitive(join("", azurerm_kubernetes_cluster.this.kube_config[*].cluster_ca_certificate))
}

output "registry" {
  value = azurerm_container_registry.this.login_server
}
