terraform {
  required_version = ">= 1.5"

  required_providers {
    upcloud = {
      source  = "UpCloudLtd/upcloud"
      version = "~> 5.0"
    }
  }
}

# The credentials come from the environment (UPCLOUD_TOKEN, or UPCLOUD_USERNAME and UPCLOUD_PASSWORD)
# and are in no file.
provider "upcloud" {}
