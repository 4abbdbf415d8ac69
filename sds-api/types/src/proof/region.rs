//! AWS's regions by their own list, so that no text of a client ever becomes part of a host's name. A region that is not in
//! it proves nothing until a release of ours knows it. (AWS documentation, "AWS Regions" and "AWS STS endpoints"; compared
//! with the list in botocore by the end-to-end tests.)

/// A region of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    name: &'static str,
    partition: &'static str,
    domain: &'static str,
}

/// Partition, the domain of its services' hosts, its regions.
const PARTITIONS: [(&str, &str, &[&str]); 4] = [
    (
        "aws",
        "amazonaws.com",
        &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    ),
    ("aws-cn", "amazonaws.com.cn", &["cn-north-1", "cn-northwest-1"]),
    ("aws-us-gov", "amazonaws.com", &["us-gov-east-1", "us-gov-west-1"]),
    ("aws-eusc", "amazonaws.eu", &["eusc-de-east-1"]),
];

impl Region {
    /// The region of this name.
    pub fn named(name: &str) -> Option<Self> {
        PARTITIONS.iter().find_map(|&(partition, domain, regions)| {
            let name = regions.iter().find(|known| **known == name)?;
            Some(Self { name, partition, domain })
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The partition that it is in: `aws`, `aws-cn`.
    pub fn partition(self) -> &'static str {
        self.partition
    }

    /// The host of STS there.
    pub fn sts_host(self) -> String {
        format!("sts.{}.{}", self.name, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (name, partition, host) in [
            ("ap-northeast-1", "aws", "sts.ap-northeast-1.amazonaws.com"),
            ("cn-north-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "sts.us-gov-west-1.amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "sts.eusc-de-east-1.amazonaws.eu"),
        ] {
            let region = Region::named(name).unwrap();
            assert_eq!((region.name(), region.partition(), region.sts_host().as_str()), (name, partition, host));
        }
        for bad in ["", "us-east-9", "US-EAST-1", "us-east-1.evil.example/", "us-east-1 ", "aws", "aws-global"] {
            assert_eq!(Region::named(bad), None, "{bad}");
        }
    }
}
