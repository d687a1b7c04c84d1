mock_provider "aws" {
  mock_resource "aws_eks_cluster" {
    defaults = {
      endpoint              = "https://example.com"
      certificate_authority = [{ data = "Q0E=" }]
    }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["zone-a", "zone-b", "zone-c"] }
  }
}

variables {
  name          = "demo"
  region        = "eu-central-1"
  allowed_cidrs = ["192.0.2.7/32"]
  repositories  = ["polls", "worker"]
  tags          = { owner = "team" }
}

run "what_is_made" {
  assert {
    condition     = aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD"
    error_message = "extended support costs six times the price"
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["192.0.2.7/32"])
    error_message = "the API server is open to others"
  }
  assert {
    condition     = length(distinct(aws_subnet.public[*].availability_zone)) == 2 && length(distinct(aws_subnet.public[*].cidr_block)) == 2
    error_message = "EKS wants two zones"
  }
  assert {
    # Auto Mode takes all three or none.
    condition = alltrue([
      aws_eks_cluster.this.compute_config[0].enabled,
      aws_eks_cluster.this.kubernetes_network_config[0].elastic_load_balancing[0].enabled,
      aws_eks_cluster.this.storage_config[0].block_storage[0].enabled,
    ])
    error_message = "Auto Mode is not whole"
  }
  assert {
    condition     = strcontains(aws_iam_role.this["cluster"].assume_role_policy, "sts:TagSession")
    error_message = "Auto Mode tags its sessions"
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.this) == 8
    error_message = "six policies of the cluster, two of its nodes"
  }
  assert {
    condition     = keys(output.repositories) == ["polls", "worker"]
    error_message = "a repository for each image"
  }
  assert {
    condition     = output.endpoint == "https://example.com" && output.ca == "Q0E="
    error_message = "the kubeconfig needs endpoint and CA"
  }
}

run "a_name_that_no_cluster_can_have" {
  command = plan
  variables {
    name = "Demo_1"
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

run "a_range_that_is_none" {
  command = plan
  variables {
    allowed_cidrs = ["everywhere"]
  }
  expect_failures = [var.allowed_cidrs]
}
