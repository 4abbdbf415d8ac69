//! What an answer of STS says, judged as from a stranger: only the one document that `GetCallerIdentity` has, whole and with
//! nothing beside it, names a caller.
//!
//! A request that is signed may be answered in several ways by who can change its unsigned parts, and by a proxy in any. So
//! JSON, a second result, comments, processing instructions, a document type, attributes and unknown elements are all refused,
//! and the three fields have to agree. A 4xx in STS's words is its no, except for its "too often"; all else proves nothing.

use http::{HeaderValue, StatusCode};
use roxmltree::{Document, Node, NodeType, ParsingOptions};

use super::Unproven;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// A whole answer has about twenty.
const NODES: u32 = 200;

/// A session of an assumed role, as AWS names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `aws`, `aws-cn`, ..
    pub partition: &'static str,
    /// Twelve digits.
    pub account: String,
    /// The role's name, without its path.
    pub role: String,
    /// The session's name: of an ECS task's own credentials, the task's id.
    pub session: String,
}

/// What the answer means.
pub fn judge(status: StatusCode, kind: Option<&HeaderValue>, body: &[u8]) -> Result<Caller, Unproven> {
    let kind = kind.and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let xml = ["text/xml", "application/xml"].iter().any(|xml| kind.trim().eq_ignore_ascii_case(xml));
    let text = str::from_utf8(body).ok().filter(|_| xml).ok_or(Unproven::Away)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|_| Unproven::Away)?;
    let plain = |node: Node| match node.node_type() {
        NodeType::Root | NodeType::Text => true,
        NodeType::Element => node.attributes().len() == 0,
        NodeType::Comment | NodeType::PI => false,
    };
    if !document.descendants().all(plain) {
        return Err(Unproven::Away);
    }
    match status.as_u16() {
        200 => {
            let [arn, account, user] = identity(document.root_element()).ok_or(Unproven::Away)?;
            caller(arn, account, user)
        }
        400 | 403 => match code(document.root_element()).ok_or(Unproven::Away)? {
            "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => Err(Unproven::Away),
            "ExpiredToken" | "ExpiredTokenException" => Err(Unproven::Refused("AWS says that its key has expired")),
            "SignatureDoesNotMatch" => Err(Unproven::Refused("AWS says that its signature is wrong")),
            _ => Err(Unproven::Refused("AWS does not accept it")),
        },
        _ => Err(Unproven::Away),
    }
}

/// Arn, Account and UserId of a `GetCallerIdentityResponse`.
fn identity<'a>(root: Node<'a, '_>) -> Option<[&'a str; 3]> {
    let named = |node: &Node, name: &str| node.has_tag_name((NAMESPACE, name));
    let parts = elements(root).filter(|_| named(&root, "GetCallerIdentityResponse"))?;
    let (results, rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(|node| named(node, "GetCallerIdentityResult"));
    let metadata = rest.iter().all(|node| named(node, "ResponseMetadata")) && rest.len() <= 1;
    let &[result] = results.as_slice() else { return None };
    let fields = elements(result).filter(|fields| metadata && fields.len() == 3)?;
    let field = |name: &str| fields.iter().find(|node| named(node, name)).and_then(|node| words(*node));
    Some([field("Arn")?, field("Account")?, field("UserId")?])
}

/// `ErrorResponse/Error/Code`.
fn code<'a>(root: Node<'a, '_>) -> Option<&'a str> {
    let child = |node: Node<'a, '_>, name: &str| node.children().find(|child| child.tag_name().name() == name);
    let error = child(root, "Error").filter(|_| root.tag_name().name() == "ErrorResponse")?;
    words(child(error, "Code")?)
}

/// The elements in a node that holds nothing else but space.
fn elements<'a, 'i>(node: Node<'a, 'i>) -> Option<Vec<Node<'a, 'i>>> {
    let blank = |child: &Node| child.text().is_some_and(|text| text.trim().is_empty());
    let fits = node.children().all(|child| child.is_element() || blank(&child));
    fits.then(|| node.children().filter(Node::is_element).collect())
}

/// The text of a node that holds nothing else.
fn words<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let only = node.first_child().filter(|child| child.is_text() && child.next_sibling().is_none())?;
    only.text()
}

/// `arn:<partition>:sts::<account>:assumed-role/<role>/<session>`, of which the other two fields say the same.
fn caller(arn: &str, account: &str, user: &str) -> Result<Caller, Unproven> {
    const PARTITIONS: [&str; 4] = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"];
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, "sts", "", of, resource] = parts.as_slice() else {
        return Err(Unproven::Refused("it is not a role's"));
    };
    let path: Vec<&str> = resource.split('/').collect();
    let &["assumed-role", role, session] = path.as_slice() else {
        return Err(Unproven::Refused("it is not a role's"));
    };
    let is_name = |text: &str| {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        fits && (1..=64).contains(&text.len())
    };
    let agree = of == account && user.split_once(':').is_some_and(|(_, of)| of == session);
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let partition = PARTITIONS.into_iter().find(|known| *known == partition);
    match partition.filter(|_| agree && digits && is_name(role) && is_name(session)) {
        Some(partition) => {
            Ok(Caller { partition, account: account.into(), role: role.into(), session: session.into() })
        }
        None => Err(Unproven::Away),
    }
}

#[cfg(test)]
mod tests;
