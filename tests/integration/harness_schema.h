/* SPDX-License-Identifier: MIT */
/* Compares answers with the server's /openapi.json (OpenAPI 3.1: a subset of JSON Schema 2020-12).
 * The document must describe the route, the method, the status, the headers and the content type,
 * and the body must match its schema. A keyword that this code does not know fails too, so no rule
 * of the document is silently ignored. */
#ifndef GANGER_TESTS_HARNESS_SCHEMA_H
#define GANGER_TESTS_HARNESS_SCHEMA_H

#include "integration/harness_http.h"

struct schema;
void schema_free(struct schema *schema);
/* Loads the document of the server at the first call. Fails the test when the answer is not
 * described. */
void schema_check_answer(struct server *s, const struct response *r);
/* The parsed document. Owned by the server. */
const cJSON *schema_document(struct server *s);
/* True when the value matches; else writes the place and the rule that it breaks. For tests of this
 * code. */
bool schema_matches(const cJSON *document, const cJSON *rule, const cJSON *value, char *ret_why,
                    size_t size);

#endif
