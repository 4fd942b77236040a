# Three trusted machines and any number of graders in a private network. What the cloud's firewall
# lets through is in firewall.tf, what the machines do at first in ../machines.

locals {
  trusted = toset(["1", "2", "3"])
  graders = toset([for number in var.graders : tostring(number)])
}

module "machines" {
  source = "../machines"

  trusted         = [for number in sort(local.trusted) : digitalocean_droplet.trusted[number].ipv4_address_private]
  network         = var.network
  quarantine_port = var.quarantine_port
  slot_pool       = var.slot_pool
  root_size       = var.root_size
  # A grader has one volume; the system is on /dev/vda.
  disk = "/dev/sda"
}

resource "digitalocean_vpc" "network" {
  name     = var.name
  region   = var.region
  ip_range = var.network
}

resource "digitalocean_tag" "trusted" {
  name = "${var.name}-trusted"
}

resource "digitalocean_tag" "grader" {
  name = "${var.name}-grader"
}

resource "digitalocean_droplet" "trusted" {
  for_each = local.trusted

  name          = "${var.name}-m${each.key}"
  region        = var.region
  size          = var.trusted_size
  image         = var.image
  vpc_uuid      = digitalocean_vpc.network.id
  ssh_keys      = var.ssh_keys
  tags          = [digitalocean_tag.trusted.id]
  droplet_agent = false
  user_data     = module.machines.trusted

  # A new cloud-init file is no reason to lose a manager and a member of the replica set.
  lifecycle {
    ignore_changes = [user_data]
  }
}

resource "digitalocean_volume" "grader" {
  for_each = local.graders

  name        = "${var.name}-g${each.key}"
  region      = var.region
  size        = var.data_gib
  description = "The engine's data of the grader g${each.key}."
}

resource "digitalocean_droplet" "grader" {
  for_each = local.graders

  name          = "${var.name}-g${each.key}"
  region        = var.region
  size          = var.grader_size
  image         = var.image
  vpc_uuid      = digitalocean_vpc.network.id
  ssh_keys      = var.ssh_keys
  tags          = [digitalocean_tag.grader.id]
  volume_ids    = [digitalocean_volume.grader[each.key].id]
  droplet_agent = false
  user_data     = module.machines.grader

  # It names all trusted machines: one of them that is replaced would else replace every grader.
  lifecycle {
    ignore_changes = [user_data]
  }
}

resource "digitalocean_reserved_ip" "front" {
  region = var.region
}

resource "digitalocean_reserved_ip_assignment" "front" {
  ip_address = digitalocean_reserved_ip.front.ip_address
  droplet_id = digitalocean_droplet.trusted[tostring(var.front)].id
}
