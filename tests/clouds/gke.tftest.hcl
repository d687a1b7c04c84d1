mock_provider "google" {
  mock_resource "google_container_cluster" {
    defaults = {
      endpoint = "192.0.2.1"
    }
  }
}

variables {
  name          = "demo"
  project       = "demo-project"
  zone          = "europe-west1-b"
  allowed_cidrs = ["192.0.2.7/32"]
  labels        = { owner = "team" }
}

run "what_is_planned" {
  command = plan
  assert {
    condition     = !google_container_cluster.this.deletion_protection
    error_message = "the cluster could not be destroyed"
  }
  assert {
    condition     = google_container_cluster.this.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "NetworkPolicies would be ignored"
  }
  assert {
    condition     = google_container_cluster.this.resource_labels == tomap({ owner = "team", pocdeploy-instance = "demo" })
    error_message = "what the cluster makes has no labels"
  }
  assert {
    condition     = google_compute_subnetwork.this.region == "europe-west1" && google_artifact_registry_repository.this.location == "europe-west1"
    error_message = "the region is not that of the zone"
  }
  assert {
    condition     = [for it in google_container_cluster.this.master_authorized_networks_config[0].cidr_blocks : it.cidr_block] == ["192.0.2.7/32"]
    error_message = "the API server is open to others"
  }
  assert {
    condition     = google_container_cluster.this.workload_identity_config[0].workload_pool == "demo-project.svc.id.goog"
    error_message = "no workload identity"
  }
}

run "a_zone_that_is_a_region" {
  command = plan
  variables {
    zone = "europe-west1"
  }
  expect_failures = [var.zone]
}

run "a_name_too_long_for_a_service_account" {
  command = plan
  variables {
    name = "a-name-of-more-than-25-characters"
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
