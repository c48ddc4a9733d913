//! Who is let in (RFC 6750), and to what.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Failure;
use crate::token::{Role, Token, find};

/// Who signs what comes in where no token is asked for.
const ANYBODY: &str = "api";
/// What only an admin changes: what all later decisions go by.
const FOR_ADMINS: [&str; 1] = ["/api/v1/allowlist"];

/// Whoever makes a request, as handlers see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get().cloned();
        Ok(caller.unwrap_or_else(|| Self(ANYBODY.to_owned())))
    }
}

/// The role that a request takes; `None` if everybody may make it. `path` may be a route's pattern.
pub(super) fn required(method: &Method, path: &str) -> Option<Role> {
    if matches!(path, "/healthz" | "/readyz") {
        return None;
    }
    if method.is_safe() {
        return Some(Role::Read);
    }
    let admins = FOR_ADMINS.iter().any(|root| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    Some(if admins { Role::Admin } else { Role::Operate })
}

/// Lets in whoever shows a token of a role that allows the request. A layer for
/// [`axum::middleware::from_fn_with_state`], with all tokens.
pub(super) async fn authorize(
    State(tokens): State<Arc<[Token]>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(required) = required(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    match caller(&tokens, request.headers(), required) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    WrongToken,
    TooLittle {
        name: String,
        role: Role,
        required: Role,
    },
}

fn caller(tokens: &[Token], headers: &HeaderMap, required: Role) -> Result<Caller, Refusal> {
    let shown = headers.get(AUTHORIZATION).ok_or(Refusal::NoToken)?;
    let shown = shown.to_str().map_err(|_| Refusal::WrongToken)?;
    let (scheme, shown) = shown.split_once(' ').ok_or(Refusal::WrongToken)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::NoToken);
    }
    let Token { name, role, .. } = find(tokens, shown.trim()).ok_or(Refusal::WrongToken)?;
    let name = name.as_str().to_owned();
    if *role < required {
        return Err(Refusal::TooLittle {
            name,
            role: *role,
            required,
        });
    }
    Ok(Caller(name))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (challenge, failure) = match self {
            Self::NoToken => (
                "Bearer realm=\"secbeat\"",
                Failure::new(
                    StatusCode::UNAUTHORIZED,
                    "this takes a token: --token-file, SECBEAT_TOKEN, or `Authorization: Bearer …`"
                        .to_owned(),
                ),
            ),
            Self::WrongToken => (
                "Bearer realm=\"secbeat\", error=\"invalid_token\"",
                Failure::new(
                    StatusCode::UNAUTHORIZED,
                    "the orchestrator does not know this token".to_owned(),
                ),
            ),
            Self::TooLittle { name, role, required } => (
                "Bearer realm=\"secbeat\", error=\"insufficient_scope\"",
                Failure::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "the token `{name}` has the role `{}`; this takes `{}`",
                        role.name(),
                        required.name()
                    ),
                ),
            ),
        };
        let mut response = failure.into_response();
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenHash;

    #[test]
    fn reading_takes_read_changing_operate_and_the_allowlist_admin() {
        let role = |method, path| required(&method, path);
        assert_eq!(role(Method::GET, "/healthz"), None);
        assert_eq!(role(Method::GET, "/api/v1/bans"), Some(Role::Read));
        assert_eq!(role(Method::GET, "/nowhere"), Some(Role::Read));
        assert_eq!(role(Method::POST, "/api/v1/bans"), Some(Role::Operate));
        assert_eq!(
            role(Method::DELETE, "/api/v1/bans/192.0.2.1"),
            Some(Role::Operate)
        );
        assert_eq!(role(Method::GET, "/api/v1/allowlist"), Some(Role::Read));
        assert_eq!(role(Method::POST, "/api/v1/allowlist"), Some(Role::Admin));
        assert_eq!(
            role(Method::DELETE, "/api/v1/allowlist/{*target}"),
            Some(Role::Admin)
        );
        assert_eq!(role(Method::POST, "/api/v1/allowlisted"), Some(Role::Operate));
    }

    #[test]
    fn a_token_lets_in_up_to_its_role() {
        let tokens = [Token {
            name: "ci".parse().unwrap(),
            role: Role::Operate,
            hash: TokenHash::of("right"),
        }];
        let with = |header: &str, required| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            caller(&tokens, &headers, required)
        };
        let ci = || Ok(Caller("ci".to_owned()));
        assert_eq!(with("Bearer right", Role::Operate), ci());
        assert_eq!(with("bearer  right", Role::Read), ci());
        assert_eq!(with("Bearer wrong", Role::Read), Err(Refusal::WrongToken));
        assert_eq!(with("Bearer", Role::Read), Err(Refusal::WrongToken));
        assert_eq!(with("Basic right", Role::Read), Err(Refusal::NoToken));
        assert_eq!(
            with("Bearer right", Role::Admin),
            Err(Refusal::TooLittle {
                name: "ci".to_owned(),
                role: Role::Operate,
                required: Role::Admin
            })
        );
        assert_eq!(
            caller(&tokens, &HeaderMap::new(), Role::Read),
            Err(Refusal::NoToken)
        );
    }
}
