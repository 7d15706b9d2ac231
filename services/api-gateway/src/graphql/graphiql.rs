//! A page on which queries are tried, for developers. Its program comes from a public store of packages and is checked
//! against its hash; without the internet there is no page, and the graph is there all the same.

use actix_web::{HttpResponse, http::header};

const POLICY: &str = "default-src 'none'; style-src https://unpkg.com 'unsafe-inline'; \
                      script-src https://unpkg.com 'sha256-SCRIPT'; img-src data:; font-src data:; \
                      connect-src 'self'; frame-ancestors 'none'";

const SCRIPT: &str = "\
const fetcher = GraphiQL.createFetcher({ url: '/graphql' });\
ReactDOM.createRoot(document.getElementById('root')).render(React.createElement(GraphiQL, {\
fetcher, isHeadersEditorEnabled: true, defaultHeaders: '{ \"Authorization\": \"Bearer \" }' }));";

/// The page.
pub fn page() -> HttpResponse {
    let script = |package: &str, hash: &str| {
        format!("<script src=https://unpkg.com/{package} integrity={hash} crossorigin></script>")
    };
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Bahi: GraphiQL</title>\
         <style>body{{margin:0}}#root{{height:100vh}}</style>\
         <link rel=stylesheet href=https://unpkg.com/graphiql@3.8.3/graphiql.min.css crossorigin \
         integrity=sha384-Mq3vbRBY71jfjQAt/DcjxUIYY33ksal4cgdRt9U/hNPvHBCaT2JfJ/PTRiPKf0aM>\
         <div id=root></div>{}{}{}<script>{SCRIPT}</script>",
        script(
            "react@18.3.1/umd/react.production.min.js",
            "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z"
        ),
        script(
            "react-dom@18.3.1/umd/react-dom.production.min.js",
            "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1"
        ),
        script(
            "graphiql@3.8.3/graphiql.min.js",
            "sha384-HbRVEFG0JGJZeAHCJ9Xm2+tpknBQ7QZmNlO/DgZtkZ0aJSypT96YYGRNod99l9Ie"
        ),
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy()))
        .body(page)
}

/// Only this very script may run on the page.
fn policy() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};
    POLICY.replace("SCRIPT", &STANDARD.encode(Sha256::digest(SCRIPT)))
}
