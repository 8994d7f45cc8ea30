//! OpenAPI descriptions of extractors: parameters, bodies and the scope of the caller.

use aide::{
    OperationInput,
    generate::GenContext,
    openapi::{MediaType, Operation, ReferenceOr, RequestBody as DescribedBody, SchemaObject, SecurityRequirement},
    operation::{ParamLocation, add_parameters, parameters_from_schema, set_body},
};
use moxxy_types::tokens::Scope;
use schemars::{JsonSchema, Schema, json_schema};

use crate::http::{
    api::{
        auth::{Caller, RequiredScope, TokenCreator},
        extract::{IfMatch, Json, OptionalJson, Path, Query},
        paging::{self, Paging},
        prefer::{Claimed, LastEvent, Wait},
        schema::{self, RequestBody},
        upload::Upload,
    },
    openapi::schemas,
};

impl<S: RequiredScope> OperationInput for Caller<S> {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.security = security(S::SCOPE);
    }
}

impl OperationInput for TokenCreator {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.security = security(Scope::TokensAdmin);
    }
}

/// Returns the alternatives: a token with the scope, or no token if loopback trust or the bootstrap suffices.
fn security(scope: Scope) -> Vec<SecurityRequirement> {
    let token = [("token".to_owned(), vec![scope.name().to_owned()])].into_iter().collect();
    vec![token, SecurityRequirement::default()]
}

impl<T: RequestBody> OperationInput for Json<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, true);
    }
}

impl<T: RequestBody> OperationInput for OptionalJson<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_body::<T>(ctx, operation, false);
    }
}

fn describe_body<T: RequestBody>(ctx: &mut GenContext, operation: &mut Operation, required: bool) {
    let content = [("application/json".to_owned(), json_content::<T>(ctx))].into_iter().collect();
    set_body(ctx, operation, DescribedBody { content, required, ..DescribedBody::default() });
}

/// Describes a JSON body.
fn json_content<T: RequestBody>(ctx: &mut GenContext) -> MediaType {
    let schema = schemas::request::<T>(ctx);
    let schema = SchemaObject { json_schema: schema, external_docs: None, example: None };
    MediaType { schema: Some(schema), example: Some(T::example()), ..MediaType::default() }
}

// Path parameters are derived from the path template.
impl<T> OperationInput for Path<T> {}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_query::<T>(ctx, operation);
    }
}

fn describe_query<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation) {
    let schema = schema::inline::<T>();
    let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
    add_parameters(ctx, operation, parameters);
}

impl OperationInput for IfMatch {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.parameters.push(ReferenceOr::ref_("#/components/parameters/If-Match"));
    }
}

impl<const OTHERS: bool> OperationInput for Paging<OTHERS> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        describe_query::<paging::Parameters>(ctx, operation);
    }
}

impl OperationInput for Wait {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.parameters.push(ReferenceOr::ref_("#/components/parameters/Prefer"));
    }
}

impl OperationInput for Claimed {}

impl OperationInput for LastEvent {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.parameters.push(ReferenceOr::ref_("#/components/parameters/Last-Event-ID"));
    }
}

impl<T: RequestBody> OperationInput for Upload<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let form = schemas::define(ctx, "ComponentForm", form());
        let form = SchemaObject { json_schema: form, external_docs: None, example: None };
        let form = MediaType { schema: Some(form), ..MediaType::default() };
        let json = json_content::<T>(ctx);
        let content = [("application/json".to_owned(), json), ("multipart/form-data".to_owned(), form)];
        let content = content.into_iter().collect();
        set_body(ctx, operation, DescribedBody { content, required: true, ..DescribedBody::default() });
    }
}

/// Returns the schema of the parts of an upload.
fn form() -> Schema {
    json_schema!({
        "type": "object",
        "description": "The fields of the JSON body, with the component as a file.",
        "required": ["component"],
        "properties": {
            "component": { "type": "string", "format": "binary", "description": "The component." },
            "digest": { "type": "string", "description": "Expected digest: `sha256:` and 64 digits." },
            "accept": { "type": "string", "description": "`all`, or comma-separated names." },
            "config": { "type": "string", "description": "A JSON object." },
        },
        "additionalProperties": { "type": "string", "description": "Any other field of the JSON body." },
    })
}
