# A zonal cluster on Google Kubernetes Engine: the free tier of an account pays for its control plane.

terraform {
  required_version = ">= 1.8"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

variable "name" {
  description = "The instance: the name of the cluster and of all that belongs to it."
  type        = string
  validation {
    # A service account's name has at most 30 characters, five of them ours.
    condition     = can(regex("^[a-z][a-z0-9-]{0,24}$", var.name))
    error_message = "A name has at most 25 lower-case letters, digits and hyphens, and starts with a letter."
  }
}

variable "project" {
  type = string
}

variable "zone" {
  type = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone))
    error_message = "A zone is a region and a letter, such as europe-west1-b."
  }
}

variable "labels" {
  description = "Owner and expiry, on everything: lower-case letters, digits, hyphens and underscores."
  type        = map(string)
  default     = {}
}

variable "allowed_cidrs" {
  description = "The addresses from which the API server can be reached."
  type        = list(string)
  validation {
    condition     = length(var.allowed_cidrs) > 0 && alltrue([for it in var.allowed_cidrs : can(cidrhost(it, 0))])
    error_message = "At least one range of addresses is necessary, such as 192.0.2.7/32."
  }
}

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))
  labels = merge(var.labels, { pocdeploy-instance = var.name })
}

provider "google" {
  project        = var.project
  default_labels = local.labels
}

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name                     = var.name
  network                  = google_compute_network.this.id
  region                   = local.region
  ip_cidr_range            = "10.42.0.0/20"
  private_ip_google_access = true
}

resource "google_service_account" "node" {
  account_id   = "${var.name}-node"
  display_name = "Nodes of ${var.name}"
}

resource "google_project_iam_member" "node" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.node.member
}

resource "google_artifact_registry_repository" "this" {
  repository_id = var.name
  location      = local.region
  format        = "DOCKER"
}

resource "google_artifact_registry_repository_iam_member" "node" {
  repository = google_artifact_registry_repository.this.name
  location   = local.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.node.member
}

resource "google_container_cluster" "this" {
  name       = var.name
  location   = var.zone
  network    = google_compute_network.this.id
  subnetwork = google_compute_subnetwork.this.id
  # With protection the provider refuses to destroy it.
  deletion_protection      = false
  remove_default_node_pool = true
  initial_node_count       = 1
  resource_labels          = local.labels
  # Enforces the NetworkPolicies; without it they are accepted and ignored.
  datapath_provider = "ADVANCED_DATAPATH"
  ip_allocation_policy {}
  release_channel {
    channel = "REGULAR"
  }
  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }
  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.allowed_cidrs
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }
}

resource "google_container_node_pool" "this" {
  name       = "default"
  cluster    = google_container_cluster.this.id
  location   = var.zone
  node_count = 2
  management {
    auto_repair  = true
    auto_upgrade = true
  }
  node_config {
    machine_type    = "e2-medium"
    disk_size_gb    = 30
    service_account = google_service_account.node.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }
  depends_on = [google_project_iam_member.node, google_artifact_registry_repository_iam_member.node]
}

output "endpoint" {
  value = "https://${google_container_cluster.this.endpoint}"
}

output "ca" {
  value = one(google_container_cluster.this.master_auth[*].cluster_ca_certificate)
}

output "repository" {
  value = "${local.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.this.name}"
}
