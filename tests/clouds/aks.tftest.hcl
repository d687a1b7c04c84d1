mock_provider "azurerm" {
  # The provider takes these apart.
  mock_resource "azurerm_container_registry" {
    defaults = {
      id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/demo/providers/Microsoft.ContainerRegistry/registries/demo0123"
    }
  }
  mock_resource "azurerm_kubernetes_cluster" {
    defaults = {
      id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/demo/providers/Microsoft.ContainerService/managedClusters/demo"
      kube_config = [{
        client_certificate     = ""
        client_key             = ""
        cluster_ca_certificate = "Q0E="
        host                   = "https://demo.example.com:443"
        password               = ""
        username               = ""
      }]
    }
  }
}

variables {
  name          = "demo"
  subscription  = "00000000-0000-0000-0000-000000000000"
  tenant        = "00000000-0000-0000-0000-000000000000"
  location      = "westeurope"
  registry      = "demo0123"
  allowed_cidrs = ["192.0.2.7/32"]
  admins        = ["11111111-0000-0000-0000-000000000000"]
  tags          = { owner = "team" }
}

run "what_is_made" {
  assert {
    condition = alltrue([
      for it in [azurerm_resource_group.this.tags, azurerm_container_registry.this.tags, azurerm_kubernetes_cluster.this.tags,
      azurerm_kubernetes_cluster.this.default_node_pool[0].tags] : it == tomap({ owner = "team", "dev.pocdeploy-instance" = "demo" })
    ])
    error_message = "something has no tags"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.local_account_disabled
    error_message = "a kubeconfig with a key would be in the state"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.network_profile[0].network_policy == "cilium"
    error_message = "NetworkPolicies would be ignored"
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Free" && azurerm_kubernetes_cluster.this.default_node_pool[0].os_disk_size_gb == 32
    error_message = "it costs more than is said"
  }
  assert {
    condition     = azurerm_role_assignment.pull.scope == azurerm_container_registry.this.id && azurerm_role_assignment.pull.role_definition_name == "AcrPull"
    error_message = "nodes cannot pull"
  }
  assert {
    condition     = output.endpoint == "https://demo.example.com:443" && output.ca == "Q0E="
    error_message = "the kubeconfig needs endpoint and CA"
  }
  assert {
    condition     = azurerm_role_assignment.admin["11111111-0000-0000-0000-000000000000"].scope == azurerm_kubernetes_cluster.this.id
    error_message = "nobody administers the cluster"
  }
}

run "a_registry_that_azure_refuses" {
  command = plan
  variables {
    registry = "demo-0123"
  }
  expect_failures = [var.registry]
}

run "a_name_that_no_cluster_can_have" {
  command = plan
  variables {
    name = "1demo"
  }
  expect_failures = [var.name]
}

run "an_api_server_for_nobody" {
  command = plan
  variables {
    allowed_cidrs = []
  }
  expect_failures = [var.allowed_cidrs]
}
