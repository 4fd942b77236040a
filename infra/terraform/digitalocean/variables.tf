variable "name" {
  description = "What the names of all that is made begin with."
  type        = string
  default     = "portcall"
}

variable "region" {
  description = "Where the machines are."
  type        = string
  default     = "fra1"
}

variable "network" {
  description = "The private network of the machines, as a range (CIDR)."
  type        = string
  default     = "10.110.0.0/24"
}

variable "image" {
  description = "The system of the machines: Debian 12."
  type        = string
  default     = "debian-12-x64"
}

variable "trusted_size" {
  description = "The size of a trusted machine."
  type        = string
  default     = "s-4vcpu-8gb"
}

variable "grader_size" {
  description = "The size of a grader."
  type        = string
  default     = "c-8"
}

variable "ssh_keys" {
  description = "SSH keys of the operators, by their ids or fingerprints at DigitalOcean."
  type        = list(string)

  validation {
    condition     = length(var.ssh_keys) > 0
    error_message = "Without a key nobody gets into the machines."
  }
}

variable "operators" {
  description = "From where operators come: ranges (CIDR) that may use SSH on the trusted machines."
  type        = list(string)
}

variable "graders" {
  description = "The numbers of the grader machines, in graders.auto.tfvars.json and nowhere else: ../graders writes it too. Taking 2 away removes the machine g2 and no other: drain it before."
  type        = set(number)

  validation {
    condition     = alltrue([for number in var.graders : number >= 1 && number <= 100])
    error_message = "Graders have numbers from 1 to 100."
  }
}

variable "front" {
  description = "Which trusted machine (1 to 3) has the floating address."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.front)
    error_message = "There are the trusted machines 1, 2 and 3."
  }
}

variable "quarantine_port" {
  description = "The port at which graders read from the platform's own registry, on the first trusted machine."
  type        = number
  default     = 5001
}

variable "slot_pool" {
  description = "The private addresses of slots: PORTCALL_SLOT_POOL of the workers. Not in the network of the machines."
  type        = string
  default     = "10.213.0.0/16"
}

variable "root_size" {
  description = "What a container may write to its root on a grader, as overlay2.size takes it."
  type        = string
  default     = "256M"
}

variable "data_gib" {
  description = "A grader's disk for the engine's data, in GiB."
  type        = number
  default     = 100
}
