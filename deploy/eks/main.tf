# A cluster on Amazon EKS in Auto Mode: AWS runs nodes, volumes and load balancers, and removes its nodes with the cluster.

terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.69"
    }
  }
}

variable "name" {
  description = "The instance: the name of the cluster and of all that belongs to it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,39}$", var.name))
    error_message = "A name has at most 40 lower-case letters, digits and hyphens, and starts with a letter."
  }
}

variable "region" {
  type = string
}

variable "tags" {
  description = "Owner and expiry, on everything."
  type        = map(string)
  default     = {}
}

variable "kubernetes" {
  description = "Kubernetes' minor version. After its standard support AWS bills six times the price, so support_type below is STANDARD."
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

variable "repositories" {
  description = "The images that are pushed."
  type        = set(string)
}

locals {
  # Each role's service, and the managed policies that Auto Mode asks for.
  roles = {
    cluster = {
      service = "eks.amazonaws.com"
      # The last one allows tags of our own on volumes and load balancers, which the others do not.
      policies = [
        "AmazonEKSClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSBlockStoragePolicy", "AmazonEKSLoadBalancingPolicy",
        "AmazonEKSNetworkingPolicy", "AWSElasticBeanstalkEKSTagging",
      ]
    }
    node = {
      service  = "ec2.amazonaws.com"
      policies = ["AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"]
    }
  }
  attachments = merge([for role, it in local.roles : { for policy in it.policies : "${role}/${policy}" => { role = role, policy = policy } }]...)
}

provider "aws" {
  region = var.region
  default_tags {
    tags = merge(var.tags, { "dev.pocdeploy/instance" = var.name })
  }
}

data "aws_availability_zones" "usable" {
  state = "available"
  # EKS has no control planes in these (docs.aws.amazon.com/eks/latest/userguide/network-reqs.html).
  exclude_zone_ids = ["use1-az3", "usw1-az2", "cac1-az3"]
  # Local zones have no control planes.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

resource "aws_vpc" "this" {
  cidr_block           = "10.42.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

# Public, since a NAT gateway costs more than the nodes; no rule lets anything in to them.
resource "aws_subnet" "public" {
  count                   = 2
  vpc_id                  = aws_vpc.this.id
  cidr_block              = cidrsubnet(aws_vpc.this.cidr_block, 4, count.index)
  availability_zone       = data.aws_availability_zones.usable.names[count.index]
  map_public_ip_on_launch = true
  tags                    = { Name = "${var.name}-${count.index}", "kubernetes.io/role/elb" = "1" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "public" {
  count          = 2
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_iam_role" "this" {
  for_each = local.roles
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = each.value.service }
      Action    = each.key == "cluster" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"]
    }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = local.attachments
  role       = aws_iam_role.this[each.value.role].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value.policy}"
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  role_arn                      = aws_iam_role.this["cluster"].arn
  version                       = var.kubernetes
  bootstrap_self_managed_addons = false
  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }
  compute_config {
    enabled       = true
    node_pools    = ["general-purpose", "system"]
    node_role_arn = aws_iam_role.this["node"].arn
  }
  kubernetes_network_config {
    elastic_load_balancing {
      enabled = true
    }
  }
  storage_config {
    block_storage {
      enabled = true
    }
  }
  vpc_config {
    subnet_ids              = aws_subnet.public[*].id
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.allowed_cidrs
  }
  upgrade_policy {
    support_type = "STANDARD"
  }
  # The cluster removes its nodes and load balancers with these roles, so they go after it; nodes need the way out.
  depends_on = [aws_iam_role_policy_attachment.this, aws_route_table_association.public]
}

resource "aws_ecr_repository" "this" {
  for_each             = var.repositories
  name                 = "${var.name}/${each.value}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = true
  encryption_configuration {
    encryption_type = "AES256"
  }
  image_scanning_configuration {
    scan_on_push = true
  }
}

output "endpoint" {
  value = aws_eks_cluster.this.endpoint
}

output "ca" {
  value = aws_eks_cluster.this.certificate_authority[0].data
}

output "repositories" {
  value = { for name, it in aws_ecr_repository.this : name => it.repository_url }
}
